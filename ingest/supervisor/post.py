"""A post is a slot with a process in it: started when due, watched while it works, told to end.

What tells the roles apart (how they are started, what shows that they are ready and alive, what
is put right when they are gone) is left to the subclasses.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from ingest import children, logs
from ingest.contract import WorkerState
from ingest.errors import ExitStatus
from ingest.supervisor.slot import Slot, SlotPolicy

if TYPE_CHECKING:
    from ingest.config import Supervision
    from ingest.supervisor.process import Child

# A process that was still starting is ended by the signal itself.
_WANTED_CODES = (ExitStatus.CLEAN, -signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a process ended."""

    pid: int | None
    code: int
    how: str
    stuck: bool
    """Whether it was killed because it did not do what it should."""
    replaced_in_seconds: float | None
    """None while the server stops: nothing follows."""


class Post(ABC):
    """Keeps one slot filled with a process."""

    def __init__(self, supervision: Supervision, **log_fields: object) -> None:
        self.slot = Slot(
            SlotPolicy(
                start_timeout=supervision.start_timeout,
                heartbeat_timeout=supervision.heartbeat_timeout,
                backoff_initial=supervision.backoff_initial,
                backoff_maximum=supervision.backoff_maximum,
                breaker_failures=supervision.breaker_failures,
                breaker_window=supervision.breaker_window,
            )
        )
        self._child: Child | None = None
        self._kill_reason: str | None = None
        self._log = logs.get_logger(__name__).bind(**log_fields)

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is no process."""
        return self._child.pid if self._child else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of all its processes."""
        return (self.pid,) if self.pid else ()

    def tend(self, now: float) -> None:
        """Do what is due: start a process, notice that it is ready, kill it if it is stuck."""
        if self.slot.due(now):
            self._start(now)
        if self.slot.state is WorkerState.STARTING and self._is_ready(now):
            self.slot.became_ready(now)
            self._note_ready(now)
        reason = self.slot.overdue(now, self._heartbeat(now))
        if reason and not self._kill_reason:
            self.kill(reason)

    def excuse(self, now: float) -> None:
        """Grant everybody the whole time again, because nobody was able to run."""
        self.slot.excuse(now)

    def wake_at(self, now: float) -> float:
        """Return when `tend` has to be called again; the end of a process wakes by itself."""
        return inf if self._kill_reason else self.slot.next_decision(self._heartbeat(now))

    def ended(self, code: int, now: float) -> End:
        """Note that the process has ended with an exit code; return what there is to say of it."""
        draining = self.slot.state is WorkerState.DRAINING
        wait_seconds = self.slot.exited(now)
        end = End(
            code=code,
            how=self._kill_reason or children.describe_exit(code),
            stuck=self._kill_reason is not None,
            pid=self.pid,
            replaced_in_seconds=None if draining else round(wait_seconds, 3),
        )
        if self._child:
            self._child.reaped(code)
        self._note_end(code)
        return end

    def report(self, end: End) -> None:
        """Log the end of the process, for people where it was not wanted."""
        wanted = end.replaced_in_seconds is None and end.code in _WANTED_CODES
        log = self._log.debug if wanted else self._log.warning
        log(
            "The process has ended.",
            pid=end.pid,
            generation=self.slot.generation,
            how=end.how,
            replaced_in_seconds=end.replaced_in_seconds,
        )

    def drain(self, now: float) -> None:
        """Tell the process to finish its work and end; none follows it."""
        self.slot.drain(now)
        if self._child:
            self._child.send(signal.SIGTERM)

    def kill(self, reason: str) -> None:
        """End the process without asking; it is gone when it has been reaped."""
        if self._child:
            self._log.error("The process is killed.", pid=self.pid, reason=reason)
            self._kill_reason = reason
            self._child.send(signal.SIGKILL)

    def _start(self, now: float) -> None:
        self.slot.started(now)
        self._note_start(now)
        try:
            self._child = self._launch()
        except OSError as error:
            wait_seconds = self.slot.exited(now)
            self._note_end(None)
            self._log.error(
                "The process cannot be started.",
                reason=str(error),
                tried_again_in_seconds=round(wait_seconds, 3),
            )

    @abstractmethod
    def _launch(self) -> Child:
        """Start the process."""

    @abstractmethod
    def _is_ready(self, now: float) -> bool:
        """Say whether the process that was started does its work."""

    @abstractmethod
    def _heartbeat(self, now: float) -> float:
        """Return when the process last showed life."""

    def _note_start(self, _now: float) -> None:
        """Prepare for the process that is about to start."""
        self._log.debug("The process is started.", generation=self.slot.generation)

    def _note_ready(self, _now: float) -> None:
        """Tell others that the process does its work."""
        self._log.debug("The process is ready.", pid=self.pid, generation=self.slot.generation)

    def _note_end(self, _code: int | None) -> None:
        """Put right what the process has left; the code is None where it never started."""
        self._child = self._kill_reason = None
