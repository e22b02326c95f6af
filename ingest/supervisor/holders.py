"""The holders of a slot: processes that keep the connections of a worker which is killed.

A worker starts its holder and says its id in the region; it is a child of ours all the same. That
of a worker that is gone has little time left; one that dies while its worker lives is missed.
"""

from __future__ import annotations

import os
import signal
from math import inf
from typing import TYPE_CHECKING

from ingest.supervisor import process

if TYPE_CHECKING:
    from ingest._native import Region

_CELL = "ingest_worker_holder_pid"
_PATIENCE_SECONDS = 10.0
"""A holder that has not ended by then, twice what it may take, keeps the successor waiting."""


class Holders:
    """Knows the holder of the worker of a slot, and those of workers that are gone."""

    def __init__(self, region: Region, index: int, *, pause_seconds: float) -> None:
        self._region = region
        self._index = index
        self._pause_seconds = pause_seconds
        self._deadlines: dict[int, float] = {}
        self._is_missing = False
        self._not_before = -inf

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of all that have not ended."""
        current = self._current
        return (*self._deadlines, current) if current else tuple(self._deadlines)

    @property
    def _current(self) -> int:
        return self._region.get(self._index, _CELL)

    def worker_ready(self) -> None:
        """Note that a worker has said who its holder is; where it said nothing, it has none."""
        self._is_missing = False
        pid = self._current
        if pid and not process.is_child(pid):
            self._miss()  # it has ended while nobody knew of it

    def worker_ended(self, now: float) -> None:
        """Give the holder of a worker that is gone the time to pass the connections on."""
        self._is_missing = False
        pid = self._current
        self._region.set(self._index, _CELL, 0)
        if pid and process.is_child(pid):
            self._deadlines[pid] = now + _PATIENCE_SECONDS

    def ended(self, pid: int) -> bool:
        """Note that a holder has ended; return whether its worker is still there."""
        if self._deadlines.pop(pid, None) is not None:
            return False
        self._miss()
        return True

    def worker_is_to_be_replaced(self, now: float) -> bool:
        """Say whether it is time for a worker that has a holder again."""
        return self._is_missing and now >= self._not_before

    def replacement_begins(self, now: float) -> None:
        """Note that such a worker is started; if need be there is another one, but not soon."""
        self._not_before = now + self._pause_seconds

    def tend(self, now: float) -> list[int]:
        """Kill those that have had their time; return which."""
        overdue = [pid for pid, deadline in self._deadlines.items() if now >= deadline]
        for pid in overdue:
            os.kill(pid, signal.SIGKILL)
            self._deadlines[pid] = inf
        return overdue

    def kill(self) -> None:
        """End those of workers that are gone without asking."""
        for pid in self._deadlines:
            os.kill(pid, signal.SIGKILL)

    def _miss(self) -> None:
        self._region.set(self._index, _CELL, 0)
        self._is_missing = True
