"""A log-ingest tier: one supervised, sharded server that stores what is sent to it."""

from ingest._native import __version__

__all__ = ["__version__"]
