"""Read journals: find the shards of a data directory and follow them as one stream."""

from ingest.journal.dead_letters import (
    DeadLetter,
    DeadLetters,
    Identity,
    StoredLetter,
    parse_identity,
)
from ingest.journal.replays import (
    ReplayLog,
    Replays,
    ReplayState,
    open_replays,
    read_replays,
)
from ingest.journal.shards import SEGMENT_SUFFIX, find_shards, list_shards
from ingest.journal.tail import Tail

__all__ = [
    "SEGMENT_SUFFIX",
    "DeadLetter",
    "DeadLetters",
    "Identity",
    "ReplayLog",
    "ReplayState",
    "Replays",
    "StoredLetter",
    "Tail",
    "find_shards",
    "list_shards",
    "open_replays",
    "parse_identity",
    "read_replays",
]
