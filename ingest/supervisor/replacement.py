"""How a worker is replaced by a successor without a gap, as a pure state machine.

    PREPARING ──stands_by──▶ HANDING_OVER ──worker_ended──▶ TAKING_OVER ──became_ready──▶ DONE
        │                         │                             │
        └─────successor_ended─────┴─────────successor_ended─────┴──▶ FAILED

The worker works on until the successor stands by: what takes time or may go wrong is behind it
then. Only then is the worker told to hand over, and only when it is gone the successor goes on, so
that journals and cells have one writer. Times are as in `slot`.
"""

from __future__ import annotations

from enum import Enum
from math import inf


class Phase(Enum):
    """How far a replacement is."""

    PREPARING = "preparing"
    """The successor starts; the worker does not know of it."""
    HANDING_OVER = "handing over"
    """The worker was told to hand its work over and to end."""
    TAKING_OVER = "taking over"
    """The worker is gone; the successor was told to go on."""
    DONE = "done"
    FAILED = "failed"


class Replacement:
    """Says what comes next, and who is overdue."""

    def __init__(
        self, now: float, *, start_timeout: float, drain_timeout: float, has_worker: bool
    ) -> None:
        """Without a worker to hand over, the successor goes on as soon as it stands by."""
        self._start_timeout = start_timeout
        self._drain_timeout = drain_timeout
        self._has_worker = has_worker
        self._has_successor = True
        self._since = now
        self.phase = Phase.PREPARING

    @property
    def is_over(self) -> bool:
        """Whether it is done or has failed."""
        return self.phase in {Phase.DONE, Phase.FAILED}

    def stands_by(self, now: float) -> None:
        """Note that the successor is prepared."""
        if self.phase is Phase.PREPARING:
            self._enter(Phase.HANDING_OVER if self._has_worker else Phase.TAKING_OVER, now)

    def worker_ended(self, now: float) -> None:
        """Note that the worker is gone, as it was told or by itself."""
        self._has_worker = False
        if self.phase is Phase.HANDING_OVER:
            self._enter(Phase.TAKING_OVER if self._has_successor else Phase.FAILED, now)

    def successor_ended(self, now: float) -> None:
        """Note that the successor is gone.

        A worker that was told to hand over is waited for all the same: nobody else ends it when it
        takes too long.
        """
        self._has_successor = False
        if self.phase in {Phase.PREPARING, Phase.TAKING_OVER}:
            self._enter(Phase.FAILED, now)

    def became_ready(self, now: float) -> None:
        """Note that the successor does its work."""
        if self.phase is Phase.TAKING_OVER:
            self._enter(Phase.DONE, now)

    def excuse(self, now: float) -> None:
        """Grant everybody the whole time again, because nobody was able to run."""
        self._since = now

    def overdue(self, now: float) -> str | None:
        """Say why the one that is waited for has to be killed, or None.

        That is the successor while it prepares, and the worker while it hands over.
        """
        if now < self.next_decision():
            return None
        if self.phase is Phase.PREPARING:
            return f"the successor does not stand by within {self._start_timeout:g} s"
        return f"not handed over within {self._drain_timeout:g} s"

    def next_decision(self) -> float:
        """Return when somebody is overdue; a successor that takes over is watched by its slot."""
        match self.phase:
            case Phase.PREPARING:
                return self._since + self._start_timeout
            case Phase.HANDING_OVER:
                return self._since + self._drain_timeout
            case _:
                return inf

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._since = now
