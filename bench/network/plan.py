"""What the cases of the network edge are told beyond how often they run."""

from __future__ import annotations

import msgspec

from bench.runs import Plan


class NetworkPlan(msgspec.Struct, frozen=True):
    """How to measure the network edge."""

    plan: Plan
    seconds: float
    """How long paced senders send."""
    rate: float | None
    """Events per second of paced senders; None is each case's own, 0 full speed where it can be."""
    burst: int
    """The most events that one of many connections sends at a time."""
    signals: int
    """How often a server is told to reload, or to replace its workers, in one run."""
    signal_interval_seconds: float
    kinds: tuple[str, ...]
    """Hostile clients to measure beside; none of them named means all."""

    def pace(self, default: float) -> float | None:
        """Return the rate of a case, None for full speed."""
        return default if self.rate is None else self.rate or None

    def events(self, rate: float | None) -> int:
        """Return how many events a sender of some rate sends in its time."""
        return self.plan.events if rate is None else int(rate * self.seconds)
