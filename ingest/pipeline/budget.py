"""Interrupt a plugin that takes longer for one event than its budget, even in synchronous code.

An interval timer (SIGALRM) looks a few times per budget which event is in work: that is the
number of results there are, so it costs nothing per event. A plugin that is running then gets an
exception raised into it; one that waits for something is cancelled by the loop. What cannot be
interrupted is a plugin that catches BaseException or never returns from C: the loop stands still,
and the supervisor replaces the worker for want of a heartbeat. Works in the main thread only.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sized
from types import CodeType, FrameType
from typing import Any, Self

_LOOKS_PER_BUDGET = 4
_SHORTEST_TICK_SECONDS = 0.001
_LONGEST_STRETCH_SECONDS = 0.05
"""How long events may be worked on before the loop has its turn: it has a heartbeat to send."""


class BudgetExceededError(BaseException):
    """Raised into a plugin, which would swallow an Exception more often than not."""


class Watch:
    """Watches the plugins of a segment while a batch is in work (`with watch:`)."""

    def __init__(self, shortest_budget_seconds: float, drives: frozenset[CodeType]) -> None:
        """`drives` are the coroutine functions that call plugins and append what they return."""
        self._drives = drives
        self._tick_seconds = min(
            max(shortest_budget_seconds / _LOOKS_PER_BUDGET, _SHORTEST_TICK_SECONDS),
            _LONGEST_STRETCH_SECONDS,
        )
        self.due = False
        """Whether the loop should have its turn before the next event (`pause`)."""
        self._results: Sized | None = None
        self._budget_seconds = 0.0
        self._at = -1
        self._since = 0.0
        self.late: set[int] = set()
        """Numbers of the results of the last drive that took too long."""
        self._cancelled = 0
        self._stretch_began = 0.0

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("plugins run inside a task")
        self._task: asyncio.Task[Any] = task
        self._loop = asyncio.get_running_loop()
        self._stretch_began = self._entered = time.monotonic()
        self.due = False
        self._handler = signal.signal(signal.SIGALRM, self._look)
        tick = self._tick_seconds
        self._timer = signal.setitimer(signal.ITIMER_REAL, tick, tick)
        return self

    def __exit__(self, *_: object) -> None:
        delay, interval = self._timer
        if delay:  # it was somebody's; what is overdue comes at once
            delay = max(delay - (time.monotonic() - self._entered), 1e-6)
        # The clock first: the other's handler must not see ours.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)
        signal.setitimer(signal.ITIMER_REAL, delay, interval)

    def begin(self, results: Sized, budget_seconds: float) -> None:
        """Watch a drive that appends to `results` from here on."""
        self.late = set()
        self._budget_seconds = budget_seconds
        self._at = -1
        self._results = results

    def end(self) -> None:
        """Watch no more, and take back what the plugin was cancelled with."""
        self._results = None
        while self._cancelled:
            self._task.uncancel()
            self._cancelled -= 1

    def is_cancelled(self) -> bool:
        """Whether somebody wants the task to end; ask after `end`."""
        return self._task.cancelling() > 0

    async def pause(self) -> None:
        """Give the loop its turn. Ends here if somebody wants that, even if a plugin does not."""
        results, self._results = self._results, None
        self.due = False
        try:
            await asyncio.sleep(0)
            if self._task.cancelling() > self._cancelled:
                raise asyncio.CancelledError
        finally:
            self._stretch_began = time.monotonic()
            self._at = -1
            self._results = results

    def _look(self, _number: int, frame: FrameType | None) -> None:
        results = self._results
        if results is None:
            return
        now = time.monotonic()
        self.due = now - self._stretch_began >= _LONGEST_STRETCH_SECONDS
        if len(results) != self._at:
            self._at, self._since = len(results), now
        elif now - self._since >= self._budget_seconds:
            if self._is_in_plugin(frame):
                self.late.add(self._at)
                raise BudgetExceededError
            # It waits, and the loop is at something else: nothing may be raised into that.
            self._loop.call_soon_threadsafe(self._cancel, results, self._at)

    def _is_in_plugin(self, frame: FrameType | None) -> bool:
        caller = frame and frame.f_back
        while caller is not None:
            if caller.f_code in self._drives:
                return True
            caller = caller.f_back
        return False

    def _cancel(self, results: Sized, at: int) -> None:
        if self._results is results and len(results) == at:
            self.late.add(at)
            self._cancelled += 1
            self._task.cancel()
