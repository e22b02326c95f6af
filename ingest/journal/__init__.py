"""Read journals: find the shards of a data directory and follow them as one stream."""

from ingest.journal.shards import SEGMENT_SUFFIX, find_shards, list_shards
from ingest.journal.tail import Tail

__all__ = ["SEGMENT_SUFFIX", "Tail", "find_shards", "list_shards"]
