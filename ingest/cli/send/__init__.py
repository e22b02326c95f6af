"""`ingest send`: the client side, to try a server or to feed a file into it."""

from ingest.cli.send.command import send

__all__ = ["send"]
