"""What the counters of a running server say of one of its listeners."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ingest._native import METRICS, Region
from ingest.counters import LedgerStatus, add_up

_POLL_SECONDS = 0.02
_REFUSED = "ingest_connections_refused_total"
_REFUSALS = next(metric.label_values for metric in METRICS if metric.name == _REFUSED)
_DROPS_OF_DATAGRAMS = ("denied", "rate_limited")


class Counts(NamedTuple):
    """The counters of one listener."""

    received: tuple[int, ...]
    """By worker, as the next."""
    settled: tuple[int, ...]
    failures: int
    """What went wrong at the listener, whoever sent it: lost, or dropped before it was read."""
    refused: int
    """Connections from which nothing was read."""

    @property
    def all_received(self) -> int:
        """Frames received, over all workers."""
        return sum(self.received)


class Watch:
    """Reads the counters of one listener."""

    def __init__(self, region: Region, listener: int) -> None:
        self._region = region
        self._listener = listener

    def ledger(self) -> LedgerStatus:
        """Return where the events of the listener are, over all workers."""
        return add_up(
            self._region.ledger(worker, self._listener) for worker in range(self._region.workers)
        )

    def counts(self) -> Counts:
        """Read the counters as of now."""
        workers = range(self._region.workers)
        ledgers = [self._region.ledger(worker, self._listener) for worker in workers]
        total = add_up(ledgers)
        dropped = sum(total.dropped.get(reason, 0) for reason in _DROPS_OF_DATAGRAMS)
        return Counts(
            received=tuple(at.received for at in ledgers),
            settled=tuple(at.received - at.in_flight for at in ledgers),
            failures=sum(total.lost.values()) + total.kernel_dropped + dropped,
            refused=sum(
                self._region.get(worker, _REFUSED, listener=self._listener, label=reason)
                for worker in workers
                for reason in _REFUSALS
            ),
        )

    def wait_settled(self, patience_seconds: float) -> bool:
        """Wait until all that is received by now has its place; return whether it has."""
        wanted = self.counts().received
        return wait(lambda: _covers(self.counts().settled, wanted), patience_seconds, self)


def wait(fact: Callable[[], bool], patience_seconds: float, watch: Watch | None) -> bool:
    """Wait for a fact; return whether it came true.

    Patience ends when so long nothing happened: the counters, where there are any, stood still.
    """
    seen = None if watch is None else watch.counts()
    deadline = time.monotonic() + patience_seconds
    while not fact():
        if watch and (now := watch.counts()) != seen:
            seen, deadline = now, time.monotonic() + patience_seconds
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _covers(settled: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(have >= want for have, want in zip(settled, wanted, strict=True))
