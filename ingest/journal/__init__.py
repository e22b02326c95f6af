"""Read journals: find the shards of a data directory and follow them as one stream."""

from ingest.journal.shards import find_shards, list_shards
from ingest.journal.tail import Tail

__all__ = ["Tail", "find_shards", "list_shards"]
