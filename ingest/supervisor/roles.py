"""The two kinds of post: a worker, known by its cells in the shared region, and the admin role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest import contract
from ingest._native import recover_worker
from ingest.contract import WorkerState
from ingest.supervisor import process, specs
from ingest.supervisor.post import Post

if TYPE_CHECKING:
    from ingest.config import Settings
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.process import Child

_NANOSECONDS = 1_000_000_000
_READINESS_POLL_SECONDS = 0.02  # only while a worker starts: a cell that changes wakes nobody

# What is true of a process and not of its slot. Every other cell outlives the worker.
_CELLS_OF_THE_PROCESS = (
    "ingest_worker_state",
    "ingest_worker_pid",
    "ingest_connections",
    "ingest_worker_load",
    "ingest_worker_busy_ratio",
    "ingest_intake_paused",
    "ingest_arena_bytes",
    "ingest_partial_bytes",
)


class WorkerPost(Post):
    """Keeps the slot of one worker filled."""

    def __init__(self, settings: Settings, resources: Resources, index: int) -> None:
        super().__init__(settings.supervision, process="worker", worker=index)
        self.index = index
        self.unsettled = False
        """Whether the last worker left events behind that are neither durable nor called lost."""
        self._settings = settings
        self._resources = resources
        self._region = resources.region

    def wake_at(self, now: float) -> float:
        """Return when `tend` has to be called again."""
        if self.slot.state is WorkerState.STARTING:
            return min(super().wake_at(now), now + _READINESS_POLL_SECONDS)
        return super().wake_at(now)

    def settle(self) -> None:
        """Do for a worker that has no successor what the successor does: tell durable from lost."""
        if self.unsettled:
            data_dir = self._resources.description.data_dir
            for note in recover_worker(self._region, self.index, data_dir).notes:
                self._log.warning("The journal was repaired.", reason=note)
            self.unsettled = False

    def _launch(self) -> Child:
        spec = specs.worker_spec(self._settings, self._resources, self.index, self.slot.generation)
        child = process.spawn(
            "ingest.worker",
            contract.encode(spec),
            [
                spec.region,
                spec.sources,
                spec.lifeline,
                spec.inbox,
                *spec.outboxes,
                self._resources.data_directory.lock,
                *(one.descriptor for one in spec.listeners if one.descriptor is not None),
            ],
        )
        self._set("ingest_worker_pid", child.pid)
        return child

    def _is_ready(self, _now: float) -> bool:
        return self._region.get(self.index, "ingest_worker_state") >= WorkerState.READY

    def _heartbeat(self, _now: float) -> float:
        heartbeat = self._region.get(self.index, "ingest_worker_heartbeat_ns") / _NANOSECONDS
        if self._region.get(self.index, "ingest_worker_state") == WorkerState.DRAINING:
            # Someone else told it to end: it shows no life while it drains, within that limit.
            return heartbeat + self._settings.supervision.drain_timeout
        return heartbeat

    def _note_start(self, now: float) -> None:
        super()._note_start(now)
        self._set("ingest_worker_state", WorkerState.STARTING)
        self._set("ingest_worker_heartbeat_ns", int(now * _NANOSECONDS))
        self._set("ingest_worker_generation", self.slot.generation)
        if self.slot.generation > 1:
            self._region.add(self.index, "ingest_worker_restarts_total")

    def _note_ready(self) -> None:
        super()._note_ready()
        self.unsettled = False
        self._set("ingest_worker_breaker_open", 0)

    def _note_end(self, code: int | None) -> None:
        super()._note_end(code)
        self.unsettled |= code != 0
        for cell in _CELLS_OF_THE_PROCESS:
            self._set(cell, 0)
        for listener in range(len(self._region.listeners)):
            self._region.set(self.index, "ingest_listener_connections", 0, listener=listener)
        self._resources.sources.clear(self.index)
        self._set("ingest_worker_breaker_open", int(self.slot.breaker_open))

    def _set(self, cell: str, value: int) -> None:
        self._region.set(self.index, cell, value)


class AdminPost(Post):
    """Keeps the admin role running; the server takes events in without it as well."""

    def __init__(self, settings: Settings, resources: Resources) -> None:
        super().__init__(settings.supervision, process="admin")
        self._settings = settings
        self._resources = resources

    def _launch(self) -> Child:
        spec = specs.admin_spec(self._settings, self._resources)
        return process.spawn(
            "ingest.admin",
            contract.encode(spec),
            [spec.descriptor, spec.region, spec.lifeline, self._resources.data_directory.lock],
        )

    def _is_ready(self, now: float) -> bool:
        """Take it as ready once it has outlived the time to start; it has no cell to say so."""
        return now >= self.slot.next_decision(now)

    def _heartbeat(self, now: float) -> float:
        """Nobody loses an event to an admin role that hangs, so it is watched only for its end."""
        return now
