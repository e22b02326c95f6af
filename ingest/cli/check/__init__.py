"""`ingest check`: say whether a configuration can be used, and what it does to events."""

from ingest.cli.check.command import check

__all__ = ["check"]
