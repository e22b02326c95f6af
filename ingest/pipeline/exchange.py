"""What a worker and the Python stages of its pipeline hand each other, once per batch."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """Where a run of consecutive events of a batch came from."""

    count: int
    listener: str
    peer: str | None
    received_ns: int
    """Wall clock, since the epoch."""
    shard: int
    identity: str | None = None
    """What else tells who sent it: members of a JSON object."""


class Verdict(IntEnum):
    """What becomes of an event; one byte each in `Outcome.verdicts`."""

    KEEP = 0
    FILTERED = 1
    DEAD_LETTER = 2
    DROPPED_ERROR = 3
    """A plugin with the policy `closed` raised, or returned what it must not."""
    DROPPED_TIMEOUT = 4
    """A plugin with the policy `closed` took longer than its budget."""
    DROPPED_BREAKER = 5
    """A plugin with the policy `closed` had failed too often and is left out."""


class Outcome(msgspec.Struct, frozen=True):
    """What a batch has become."""

    lines: bytes
    """One for every event that is kept or dead-lettered, in order, each ended by a newline."""
    verdicts: bytes
    """A `Verdict` for every event of the batch."""
    stages: bytes
    """For every event of the batch the index of the stage that decided, which means nothing where
    the event is kept."""


class StageCounts(msgspec.Struct):
    """What one stage did in one batch."""

    events: int = 0
    """Events it was asked about; without those that passed it by while it was left out."""
    nanoseconds: int = 0
    filtered: int = 0
    redacted: int = 0
    """Values masked, as far as the plugin tells."""
    errors: int = 0
    timeouts: int = 0
    skipped: int = 0
    """Events that came while the plugin was left out."""
    breaker_open: bool = False
    """Whether the plugin is left out now."""
    sample_rate: float | None = None
    """Share of events that a sampling filter lets pass, as far as the plugin tells."""


class Report(Protocol):
    """Takes the counts of a stage after every batch."""

    def __call__(self, stage: int, counts: StageCounts, /) -> None:
        """Add the counts of the stage with this index."""
