"""The life of one slot, as a pure state machine: no process, no clock, no log.

    GONE ──started──▶ STARTING ──became_ready──▶ READY ──drain──▶ DRAINING
      ▲                  │                         │                 │
      └──────────────────┴────────exited───────────┴─────────────────┘

While a slot is held, no process is due: a successor is prepared that will take the place of the
one that was (see `replacement`). Times are seconds of one monotonic clock and are always handed in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from ingest.contract import WorkerState

STEADY_SECONDS = 1.0
"""A process that has worked this long is able to; starting another costs far less than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPolicy:
    """How patient to be with the process of a slot; all in seconds but the number of failures."""

    start_timeout: float
    heartbeat_timeout: float
    backoff_initial: float
    backoff_maximum: float
    breaker_failures: int
    breaker_window: float


class Slot:
    """Says when a process is due, when it is overdue, and how long to wait after it failed.

    A process that dies after steady work is replaced at once, and so is the first that does not
    come so far: a single death should cost nobody a connection. From the second such failure
    within `breaker_window` the wait doubles. After `breaker_failures` the breaker opens: one
    attempt per `backoff_maximum`, until an attempt becomes ready.
    """

    def __init__(self, policy: SlotPolicy) -> None:
        self._policy = policy
        self._failures: deque[float] = deque(maxlen=policy.breaker_failures)
        self._since = -inf
        self._ready_at = inf
        self._due_at = -inf
        self.state = WorkerState.GONE
        self._held = False
        self.generation = 0
        self.breaker_open = False

    def due(self, now: float) -> bool:
        """Say whether a process has to be started."""
        return self.state is WorkerState.GONE and not self._held and now >= self._due_at

    def started(self, now: float) -> None:
        """Note that a process of the next generation was started."""
        self.generation += 1
        self._enter(WorkerState.STARTING, now)

    def became_ready(self, now: float) -> None:
        """Note that the process does its work."""
        self.breaker_open = False
        self._ready_at = now
        self._enter(WorkerState.READY, now)

    def drain(self, now: float) -> None:
        """Note that the process was told to end; nothing follows it."""
        self._due_at = inf
        if self.state is not WorkerState.GONE:
            self._enter(WorkerState.DRAINING, now)

    def hold(self) -> None:
        """Let no process be due before `release`."""
        self._held = True

    def release(self, now: float) -> None:
        """Let processes be due again, at once where the last one was told to end."""
        self._held = False
        if self._due_at == inf:
            self._due_at = now

    def exited(self, now: float) -> float:
        """Note that the process is gone; return in how many seconds the next one is due."""
        steady = self.state is WorkerState.READY and now - self._ready_at >= STEADY_SECONDS
        if self.state is not WorkerState.DRAINING:
            self._due_at = now if steady else now + self._wait_after_failure(now)
        self._enter(WorkerState.GONE, now)
        return self._due_at - now

    def excuse(self, now: float) -> None:
        """Grant the process its whole time again, because nobody was able to run."""
        self._since = now

    def overdue(self, now: float, heartbeat: float) -> str | None:
        """Say why the process has to be killed, or None; `heartbeat` is when it last showed life.

        Nothing is overdue while draining: that has one deadline for the whole server.
        """
        if now < self.next_decision(heartbeat):
            return None
        match self.state:
            case WorkerState.STARTING:
                return f"not ready within {self._policy.start_timeout:g} s"
            case WorkerState.READY:
                return f"no heartbeat for {self._policy.heartbeat_timeout:g} s"
            case _:
                return None

    def next_decision(self, heartbeat: float) -> float:
        """Return when there will be something to do if nothing happens before."""
        match self.state:
            case WorkerState.GONE:
                return inf if self._held else self._due_at
            case WorkerState.STARTING:
                return self._since + self._policy.start_timeout
            case WorkerState.READY:
                return max(heartbeat, self._since) + self._policy.heartbeat_timeout
            case _:
                return inf

    def _enter(self, state: WorkerState, now: float) -> None:
        self.state = state
        self._since = now

    def _wait_after_failure(self, now: float) -> float:
        while self._failures and self._failures[0] <= now - self._policy.breaker_window:
            self._failures.popleft()
        self._failures.append(now)
        # An attempt that never became ready leaves the breaker open, however old the others are.
        self.breaker_open |= len(self._failures) >= self._policy.breaker_failures
        if self.breaker_open:
            return self._policy.backoff_maximum
        doublings = len(self._failures) - 2
        if doublings < 0:
            return 0.0
        return min(self._policy.backoff_initial * 2.0**doublings, self._policy.backoff_maximum)
