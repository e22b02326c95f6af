"""The command `ingest`."""

from ingest.cli.application import main

__all__ = ["main"]
