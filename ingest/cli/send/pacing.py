"""Keep to a rate: how much to send at once, and how long to wait before the next."""

from __future__ import annotations

import time
from collections.abc import Callable

_LARGEST_BATCH = 2048
_STEPS_PER_SECOND = 100


class Pace:
    """A number of events per second, or as many as go."""

    def __init__(
        self,
        events_per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = events_per_second
        self._clock = clock
        self._sleep = sleep
        self._started: float | None = None
        self._sent = 0

    @property
    def batch(self) -> int:
        """How many events to send at once: a hundredth of a second's worth."""
        if self._rate is None:
            return _LARGEST_BATCH
        return max(1, min(_LARGEST_BATCH, int(self._rate / _STEPS_PER_SECOND)))

    def keep(self, sent: int) -> None:
        """Note what was sent, and wait until that much was due.

        The time counts from the first event, so a slow moment is made up for.
        """
        if self._rate is None:
            return
        if self._started is None:
            self._started = self._clock()
        self._sent += sent
        ahead = self._started + self._sent / self._rate - self._clock()
        if ahead > 0:
            self._sleep(ahead)
