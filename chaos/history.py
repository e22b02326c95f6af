"""What a trial knows of the lives of its server: what each counted, and what it left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ingest.counters import LedgerStatus

Watched = Sequence[tuple[float, int]]
"""Moments of the monotonic clock, and how many events had been received by then."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One server from its start to its end."""

    ledger: LedgerStatus
    """When its last process had gone; it was empty at the start."""
    durable: dict[str, int]
    """Of each shard of events, the sequence number behind those that were called durable."""
    stored: dict[str, int]
    """Of each shard of events, the sequence number behind those that are in its files."""
    dead_letters: int
    """Dead letters in the files, those of earlier lives among them."""
    stored_before: int
    """Events and dead letters in the files when it began."""
    in_order: bool
    """Whether it was told to stop, and not killed."""
    exit_status: int

    @property
    def is_settled(self) -> bool:
        """Whether it could say itself what became of every event."""
        return self.in_order and not self.ledger.in_flight

    @property
    def stored_to_its_end(self) -> int:
        """Events and dead letters in the files when it ended."""
        return sum(self.stored.values()) + self.dead_letters

    @property
    def undurable(self) -> int:
        """Events that were received and are not in the files."""
        kept = self.stored_to_its_end - self.stored_before
        return self.ledger.received - kept - _discarded(self.ledger)

    @property
    def missing_durable(self) -> int:
        """Events that were called durable and are not in the files."""
        return sum(max(0, end - self.stored[shard]) for shard, end in self.durable.items())

    def oldest_undurable_seconds(self, watched: Watched, ended_at: float) -> float:
        """Return how long before its end the first event was received that is not in the files.

        At most: since the last moment that was watched when all that had been received are there.
        """
        if not self.undurable:
            return 0.0
        found = self.ledger.received - self.undurable
        moments = (at for at, received in watched if received <= found)
        return ended_at - max(moments, default=watched[0][0])


@dataclass(slots=True)
class History:
    """All lives of the server of a trial."""

    lives: list[Life] = field(default_factory=list)
    told: dict[int, int] = field(default_factory=dict)
    """How many events were lost in a life, as the next server says; by its number."""
    excused_events: int = 0
    """Events that the fault itself destroyed, after they had been stored."""
    oldest_undurable_seconds: float = 0.0
    """How old the oldest event was that a kill of all processes destroyed, where it was watched."""

    @property
    def stored(self) -> int:
        """Events and dead letters in the files when the last life ended."""
        return self.lives[-1].stored_to_its_end if self.lives else 0

    @property
    def undurable(self) -> list[int]:
        """For each life, how many events were received in it and are not in the files."""
        return [life.undurable for life in self.lives]

    @property
    def counted(self) -> list[int]:
        """For each life, how many events the server says were lost in it.

        Of one that could not settle its ledger, as when it was killed, the next one says so.
        """
        return [
            self.told.get(number, sum(life.ledger.lost.values()))
            for number, life in enumerate(self.lives)
        ]


def _discarded(ledger: LedgerStatus) -> int:
    return ledger.filtered + sum(ledger.dropped.values())
