"""Latency from sending to durable, as the distance between two curves of cumulative counts.

No event carries a time stamp through the server. The generator notes when how many events had
been sent, a sampler when how many were durable; event number k took the time between.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.distribution import Distribution

Curve = list[tuple[int, int]]
"""Points of (monotonic nanoseconds, events so far), rising in both."""

_SAMPLE_SECONDS = 0.0005


class Sampler:
    """Samples a count in a thread of its own while the block runs."""

    def __init__(self, count: Callable[[], int]) -> None:
        self.curve: Curve = []
        self._count = count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self) -> Self:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop after a last sample, so that the end of the curve is the end of the block."""
        self._stop.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        count = self._count()
        if not self.curve or count != self.curve[-1][1]:
            self.curve.append((time.monotonic_ns(), count))


def read_curve(file: Path) -> Curve:
    """Read the timeline that the generator writes."""
    points = (line.split() for line in file.read_text().splitlines())
    return [(int(time_ns), int(events)) for time_ns, events in points]


def distance(sent: Curve, durable: Curve, *, already_durable: int) -> Distribution:
    """Return the distribution over all sent events, each of them counted."""
    for curve in (sent, durable):
        if any(earlier > later for (_, earlier), (_, later) in pairwise(curve)):
            raise ValueError("a count went backwards")
    events = sent[-1][1]
    # Between two of these numbers, all events were sent together and became durable together.
    steps = {number for _, number in sent}
    steps |= {number - already_durable for _, number in durable}
    numbers = sorted(step for step in steps if 0 < step <= events)
    return Distribution.weighted(
        (
            (_reached(durable, number + already_durable) - _reached(sent, number)) / 1e6,
            number - before,
        )
        for before, number in pairwise([0, *numbers])
    )


def _reached(curve: Curve, events: int) -> int:
    """Return when a curve came to so many events."""
    return curve[bisect_left(curve, events, key=lambda point: point[1])][0]
