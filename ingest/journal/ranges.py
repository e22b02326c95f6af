"""A set of whole numbers as the ranges that it consists of."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of numbers; those that follow one another take no more room than one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield each range as its first number and the one behind its last, in order."""
        return iter(zip(self._starts, self._ends, strict=True))

    def __bool__(self) -> bool:
        return bool(self._starts)

    def add(self, start: int, end: int) -> None:
        """Add the numbers from `start` to before `end`."""
        if start >= end:
            return
        left, right = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if left < right:
            start, end = min(start, self._starts[left]), max(end, self._ends[right - 1])
        self._starts[left:right], self._ends[left:right] = [start], [end]

    def discard(self, start: int, end: int) -> None:
        """Remove the numbers from `start` to before `end`."""
        left, right = bisect_right(self._ends, start), bisect_left(self._starts, end)
        if left >= right or start >= end:
            return
        kept = [(self._starts[left], start), (end, self._ends[right - 1])]
        kept = [(first, behind) for first, behind in kept if first < behind]
        self._starts[left:right] = [first for first, _ in kept]
        self._ends[left:right] = [behind for _, behind in kept]
