"""The post of a worker, known by its cells in the shared region; one may replace another in it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from ingest import children, contract
from ingest._native import recover_worker
from ingest.contract import WorkerState
from ingest.supervisor import process, specs
from ingest.supervisor.holders import Holders
from ingest.supervisor.kernel_drops import KernelDrops
from ingest.supervisor.post import Post
from ingest.supervisor.replacement import Phase, Replacement
from ingest.supervisor.succession import Succession

if TYPE_CHECKING:
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.deployment import Deployment
    from ingest.supervisor.post import End
    from ingest.supervisor.process import Child

_NANOSECONDS = 1_000_000_000
_READINESS_POLL_SECONDS = 0.02  # only while a worker starts: a cell that changes wakes nobody

# What is true of a process and not of its slot. Every other cell outlives the worker.
_CELLS_OF_THE_PROCESS = (
    "ingest_worker_state",
    "ingest_worker_pid",
    "ingest_worker_load",
    "ingest_worker_busy_ratio",
    "ingest_intake_paused",
    "ingest_arena_bytes",
    "ingest_partial_bytes",
)
# What is true of a stage that a worker runs.
_CELLS_OF_A_STAGE_AT_WORK = (
    "ingest_stage_sample_rate",
    "ingest_stage_keys",
    "ingest_stage_breaker_open",
)


class WorkerPost(Post):
    """Keeps the slot of one worker filled."""

    def __init__(self, deployment: Deployment, resources: Resources, index: int) -> None:
        supervision = deployment.settings.supervision
        super().__init__(supervision, process="worker", worker=index)
        self.index = index
        self.unsettled = False
        """Whether the last worker left events behind that are neither durable nor called lost."""
        self._supervision = supervision
        self._deployment = deployment
        self._resources = resources
        self._region = resources.region
        self._succession: Succession | None = None
        self._is_stopping = False
        self._kernel_drops = KernelDrops(resources.region, index)
        self._holders = Holders(resources.region, index, pause_seconds=supervision.backoff_maximum)

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the worker, of a successor that is prepared, and of their holders."""
        successor = self._succession.pid if self._succession else None
        successors = (successor,) if successor else ()
        return (*super().pids, *successors, *self._holders.pids)

    def wants_replacement(self, now: float) -> bool:
        """Say whether the worker works without its holder and should have a successor."""
        is_ready = self.slot.state is WorkerState.READY
        return is_ready and self._holders.worker_is_to_be_replaced(now)

    def replace(self, deployment: Deployment, fallback: Deployment, now: float) -> Replacement:
        """Begin to replace the worker by one of a deployment; return how that goes on.

        Where it fails, workers of `fallback` are started from then on. The slot may be empty, but
        a worker that still starts has to be waited for first.
        """
        state = Replacement(
            now,
            start_timeout=self._supervision.start_timeout,
            drain_timeout=self._supervision.drain_timeout,
            has_worker=self.pid is not None,
        )
        self._succession = Succession(state, deployment, fallback, self.slot.generation + 1)
        self._holders.replacement_begins(now)
        self.slot.hold()
        self._set("ingest_worker_standby", 0)
        self._log.debug("A successor is started.", generation=self._succession.generation)
        try:
            self._succession.launch(self._resources, self.index)
        except OSError as error:
            self._log.error("A successor cannot be started.", reason=str(error))
            state.successor_ended(now)
            self._advance(self._succession, now)
        return state

    def adopt(self, deployment: Deployment) -> None:
        """Start workers of this deployment from now on."""
        self._kernel_drops.change(self._deployment, deployment)
        self._deployment = deployment
        used = {stage.index for stage in deployment.pipeline().stages}
        for stage in set(range(len(deployment.stages))) - used:
            for cell in _CELLS_OF_A_STAGE_AT_WORK:
                self._region.set(self.index, cell, 0, stage=stage)

    def tend(self, now: float) -> None:
        """Do what is due, also for a successor."""
        if self._succession and not self._succession.is_given_up:
            self._tend_succession(self._succession, now)
        for pid in self._holders.tend(now):
            self._log.error("The holder of a worker that is gone is killed.", pid=pid)
        super().tend(now)

    def wake_at(self, now: float) -> float:
        """Return when `tend` has to be called again."""
        wake_at = super().wake_at(now)
        state = self._succession.state if self._succession else None
        if state and not (self._kill_reason or self._succession_is_ending()):
            wake_at = min(wake_at, state.next_decision())
        if self.slot.state is WorkerState.STARTING or (state and state.phase is Phase.PREPARING):
            wake_at = min(wake_at, now + _READINESS_POLL_SECONDS)
        return wake_at

    def excuse(self, now: float) -> None:
        """Grant everybody the whole time again, because nobody was able to run."""
        super().excuse(now)
        if self._succession:
            self._succession.state.excuse(now)

    def ended(self, code: int, now: float) -> End:
        """Note that the worker has ended with an exit code; return what there is to say of it."""
        end = super().ended(code, now)
        if self._succession:
            state = self._succession.state
            if state.phase is Phase.TAKING_OVER:
                state.successor_ended(now)
            else:
                state.worker_ended(now)
            self._advance(self._succession, now)
        return end

    def companion_ended(self, pid: int, code: int, now: float) -> None:
        """Note that a process of the slot has ended that is not the worker."""
        if self._succession and self._succession.pid == pid:
            self._successor_ended(code, now)
        elif self._holders.ended(pid):
            self._log.error(
                "The holder of the worker's connections has ended; the worker is replaced.",
                pid=pid,
                how=children.describe_exit(code),
            )

    def _successor_ended(self, code: int, now: float) -> None:
        if self._succession:
            pid, is_wanted = self._succession.pid, self._succession.is_given_up
            how = self._succession.ended(code)
            log = self._log.debug if is_wanted else self._log.error
            log("The successor has ended.", pid=pid, how=how)
            self._set("ingest_worker_standby", 0)
            self._succession.state.successor_ended(now)
            self._advance(self._succession, now)

    def drain(self, now: float) -> None:
        """Tell the worker to finish its work and end, and a successor that it is not needed.

        What a worker hands over already needs its successor, which is told to end as it goes on.
        """
        super().drain(now)
        self._is_stopping = True
        if self._succession and self._succession.state.phase is not Phase.HANDING_OVER:
            self._succession.give_up()

    def kill(self, reason: str) -> None:
        """End the worker without asking; where the server stops, a successor as well."""
        super().kill(reason)
        if self._is_stopping:
            self._holders.kill()
        if self._succession and self._is_stopping:
            self._succession.give_up()
            self._succession.kill(reason)

    def settle(self) -> None:
        """Do for a worker that has no successor what the successor does: tell durable from lost."""
        if self.unsettled:
            data_dir = str(self._resources.data_directory.path)
            for note in recover_worker(self._region, self.index, data_dir).notes:
                self._log.warning("The journal was repaired.", reason=note)
            self.unsettled = False

    def _tend_succession(self, succession: Succession, now: float) -> None:
        state = succession.state
        standby = self._region.get(self.index, "ingest_worker_standby")
        if standby == succession.generation:
            state.stands_by(now)
        self._advance(succession, now)
        reason = state.overdue(now)
        if reason and state.phase is Phase.PREPARING:
            succession.kill(reason)
        elif reason and not self._kill_reason:
            self.kill(reason)

    def _advance(self, succession: Succession, now: float) -> None:
        """Do what the phase of a replacement asks for, once."""
        if succession.is_given_up:
            return
        match succession.state.phase:
            case Phase.HANDING_OVER if self._child and self.slot.state is WorkerState.READY:
                self.slot.drain(now)
                self._child.send(signal.SIGUSR2)
            case Phase.TAKING_OVER if succession.pid:
                self._take_over(succession, now)
            case Phase.DONE | Phase.FAILED:
                if succession.state.phase is Phase.FAILED:
                    # At once: the next process of the slot may be started in this very turn.
                    self.adopt(succession.fallback)
                if not self._is_stopping:
                    self.slot.release(now)
                self._succession = None

    def _take_over(self, succession: Succession, now: float) -> None:
        self.slot.release(now)
        self.slot.started(now)
        self.adopt(succession.deployment)
        self._note_start(now)
        self._set("ingest_worker_standby", 0)
        self._region.add(self.index, "ingest_worker_replacements_total")
        self._child = succession.go()
        self._set("ingest_worker_pid", self.pid or 0)
        if self._is_stopping:
            self._succession = None
            self.drain(now)

    def _succession_is_ending(self) -> bool:
        succession = self._succession
        return succession is not None and bool(succession.is_given_up or succession.kill_reason)

    def _launch(self) -> Child:
        generation = self.slot.generation
        spec = specs.worker_spec(self._deployment, self._resources, self.index, generation)
        if generation > 1:
            self._region.add(self.index, "ingest_worker_restarts_total")
        child = process.spawn(
            "ingest.worker",
            contract.encode(spec),
            [*specs.descriptors(spec), self._resources.data_directory.lock],
        )
        self._set("ingest_worker_pid", child.pid)
        return child

    def _is_ready(self, _now: float) -> bool:
        return self._region.get(self.index, "ingest_worker_state") >= WorkerState.READY

    def _heartbeat(self, _now: float) -> float:
        heartbeat = self._region.get(self.index, "ingest_worker_heartbeat_ns") / _NANOSECONDS
        if self._region.get(self.index, "ingest_worker_state") == WorkerState.DRAINING:
            # Someone else told it to end: it shows no life while it drains, within that limit.
            return heartbeat + self._supervision.drain_timeout
        return heartbeat

    def _note_start(self, now: float) -> None:
        super()._note_start(now)
        self._set("ingest_worker_state", WorkerState.STARTING)
        self._set("ingest_worker_heartbeat_ns", int(now * _NANOSECONDS))
        self._set("ingest_worker_generation", self.slot.generation)
        self._set("ingest_worker_configuration", self._deployment.number)

    def _note_ready(self, now: float) -> None:
        super()._note_ready(now)
        self._holders.worker_ready()
        self.unsettled = False
        self._set("ingest_worker_breaker_open", 0)
        if self._succession:
            self._succession.state.became_ready(now)
            self._advance(self._succession, now)

    def _note_end(self, code: int | None) -> None:
        super()._note_end(code)
        self._holders.worker_ended(time.monotonic())
        self.unsettled |= code != 0
        for cell in _CELLS_OF_THE_PROCESS:
            self._set(cell, 0)
        self._set("ingest_worker_breaker_open", int(self.slot.breaker_open))

    def _set(self, cell: str, value: int) -> None:
        self._region.set(self.index, cell, value)
