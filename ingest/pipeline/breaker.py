"""Leave a plugin out for a while after it has failed too often in a row."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf


class Breaker:
    """Closed: every event may go in. Open: none. After a while one may, and decides.

    Successes are not told one by one: that would cost as much as calling a plugin. Failures are
    told with the number of the event, and are in a row if their numbers are.
    """

    def __init__(
        self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = failures
        self._seconds = seconds
        self._clock = clock
        self._in_a_row = 0
        self._last_failure = -2
        self._opened_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the plugin is left out, but for a probe."""
        return self._opened_at is not None

    def open_for_good(self) -> None:
        """Take note that the plugin will never be of use."""
        self._opened_at = inf

    def admit(self, count: int) -> int:
        """Return how many of so many events may go to the plugin now."""
        if self._opened_at is None:
            return count
        return min(count, 1) if self._clock() >= self._opened_at + self._seconds else 0

    def succeed(self) -> bool:
        """Take note that all that were admitted went well; tell whether that closed it."""
        was_open = self.is_open
        self._opened_at = None
        return was_open

    def fail(self, number: int) -> bool:
        """Take note that the plugin failed at this event; tell whether it is open now."""
        self._in_a_row = self._in_a_row + 1 if number == self._last_failure + 1 else 1
        self._last_failure = number
        if self.is_open or self._in_a_row >= self._allowed:
            self._opened_at = self._clock()
        return self.is_open
