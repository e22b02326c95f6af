"""SIGHUP and SIGUSR1: read the configuration again, or replace the workers as they are.

Whatever is wrong with a new configuration, the one before stays in force, and people are told:
in the log, and through the region those who ask with `ingest reload` or `ingest status`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING

from ingest import logs
from ingest.contract import ListenerDescription, ReloadDescription, ReloadResult
from ingest.errors import BootError, ConfigurationError, IngestError
from ingest.supervisor import specs
from ingest.supervisor.deployment import Deployment, deploy
from ingest.supervisor.rollout import Rollout

if TYPE_CHECKING:
    from ingest.config import Settings
    from ingest.contract import WorkerSpec
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.worker_post import WorkerPost

_LONGEST_MESSAGE = 2000
_FIXED_KEYS = (
    "data_dir",
    "workers",
    "admin.address",
    "limits.arena_bytes",
    "limits.udp_receive_buffer_bytes",
    "supervision",
    "log",
)
"""What the directory, the region, the sockets or processes that stay were made with."""
_WORDS: dict[ReloadResult, str] = {
    "applied": "The new configuration is in force.",
    "unchanged": "The configuration says nothing new.",
    "refused": "The new configuration is refused, and nothing has changed.",
    "failed": "The new configuration is given up, and the one before is in force again.",
}
_SUCCESSES: tuple[ReloadResult, ...] = ("applied", "unchanged")

_log = logs.get_logger(__name__)


class Reloading:
    """Does one thing after the other; of what is asked for meanwhile, each is done once more."""

    def __init__(
        self,
        load: Callable[[], Settings],
        deployment: Deployment,
        resources: Resources,
        workers: Sequence[WorkerPost],
    ) -> None:
        self.deployment = deployment
        """What is in force, or was before what is being brought into force."""
        self._load = load
        self._resources = resources
        self._region = resources.region
        self._workers = workers
        self._numbers = count(deployment.number + 1)
        self._requests = 0
        self._answered = 0
        self._replacement_wanted = False
        self._rollout: Rollout | None = None
        self._candidate: Deployment | None = None
        self._last: ReloadDescription | None = None
        self._announced = False
        self._note_reading(successful=True)

    def request_reload(self) -> None:
        """Have the configuration read again as soon as nothing else is going on."""
        self._requests += 1
        self._set("ingest_reload_requests", self._requests)

    def request_replacement(self) -> None:
        """Have every worker replaced as soon as nothing else is going on."""
        self._replacement_wanted = True

    def announce(self) -> bool:
        """Say in the data directory where the server is; False while its disk is full.

        Raises BootError where that is impossible.
        """
        self._announced = self._announced or self._resources.announce(self.deployment)
        return self._announced

    def tend(self, now: float) -> None:
        """Go on with what is going on, or begin with what was asked for."""
        if self._rollout:
            self._rollout.tend(now)
            if self._rollout.is_over:
                self._conclude(self._rollout)
        if not self._rollout:
            if self._answered < self._requests:
                self._reload(now)
            elif self._replacement_wanted:
                self._replacement_wanted = False
                _log.info("The workers are replaced one by one.", workers=len(self._workers))
                self._begin(Rollout(self._workers, self.deployment, self.deployment), now)
            elif exposed := [worker for worker in self._workers if worker.wants_replacement(now)]:
                self._begin(Rollout(exposed, self.deployment, self.deployment), now)
        if not self._announced:
            self._announce_again()

    def _reload(self, now: float) -> None:
        self._answered = self._requests
        before = self.deployment
        try:
            settings = self._load()
            _refuse_fixed(before.settings, settings)
            candidate = deploy(settings, self._resources.sockets, before, next(self._numbers))
            if self._told(candidate) == self._told(before):
                self._put_in_force_here(settings)
                return
            self._resources.publish(candidate, self._last)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server works on
            self._resources.sockets.keep(before.groups())
            is_expected = isinstance(error, IngestError | OSError)
            self._answer("refused", str(error) if is_expected else repr(error))
            return
        for listener in candidate.listeners:
            if listener.group and listener.group not in before.groups():
                log_listening(listener.describe())
        _log.info("A new configuration is brought into force.", workers=len(self._workers))
        self._candidate = candidate
        self._begin(Rollout(self._workers, candidate, before.reached_by(candidate)), now)

    def _told(self, deployment: Deployment) -> WorkerSpec:
        """Return all that a worker is told but for what tells workers apart."""
        return specs.worker_spec(deployment, self._resources, index=0, generation=0)

    def _begin(self, rollout: Rollout, now: float) -> None:
        self._set("ingest_reload_running", 1)
        self._rollout = rollout
        rollout.tend(now)

    def _conclude(self, rollout: Rollout) -> None:
        self._rollout, candidate, self._candidate = None, self._candidate, None
        self._set("ingest_reload_running", 0)
        if candidate is None:
            _report_replacement(rollout.failed_worker)
        elif rollout.failed_worker is None:
            self._put_in_force(rollout.target)
            self._answer("applied", f"{len(self._workers)} workers were replaced")
        else:
            self._put_in_force(rollout.target)
            self._answer(
                "failed",
                f"worker {rollout.failed_worker} cannot be replaced by one of the new"
                " configuration; its last message in the log says why",
            )

    def _put_in_force(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._resources.sockets.keep(deployment.groups())
        self._announced = False

    def _put_in_force_here(self, settings: Settings) -> None:
        """Put settings in force of which workers are told nothing new."""
        before, after = self.deployment.settings.journal, settings.journal
        self.deployment = replace(self.deployment, settings=settings)
        if (before.low_water, before.reserve) == (after.low_water, after.reserve):
            self._answer("unchanged", "there is nothing to replace")
        else:
            self._answer("applied", "other room is left on the disk; no worker was replaced")

    def _answer(self, result: ReloadResult, message: str) -> None:
        """Tell everybody how reading the configuration again has ended."""
        log = _log.info if result in _SUCCESSES else _log.error
        log(_WORDS[result], reason=message)
        self._last = ReloadDescription(
            result=result,
            message=message[:_LONGEST_MESSAGE],
            finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        try:
            self._resources.publish(self.deployment, self._last)
        except BootError as error:  # no room for the message; the log has it
            _log.error("The outcome cannot be shown.", reason=str(error))
        self._region.add(None, "ingest_reloads_total", label=result)
        self._note_reading(successful=result in _SUCCESSES)
        self._set("ingest_reload_answered", self._answered)

    def _note_reading(self, *, successful: bool) -> None:
        self._set("ingest_last_reload_successful", int(successful))
        self._set("ingest_last_reload_timestamp_seconds", time.time_ns())

    def _announce_again(self) -> None:
        try:
            self.announce()
        except BootError as error:
            _log.error("Other commands do not find what is in force.", reason=str(error))
            self._announced = True

    def _set(self, cell: str, value: int) -> None:
        self._region.set(None, cell, value)


def log_listening(listener: ListenerDescription) -> None:
    """Say that senders can connect."""
    _log.info("Listening.", listener=listener.name, kind=listener.kind, address=listener.address)


def _report_replacement(failed_worker: int | None) -> None:
    if failed_worker is None:
        _log.info("Every worker was replaced.")
    else:
        _log.error("The replacement of the workers is given up.", failed_worker=failed_worker)


def _refuse_fixed(before: Settings, after: Settings) -> None:
    """Raise ConfigurationError where something differs that cannot change."""
    read = (attrgetter(key) for key in _FIXED_KEYS)
    changed = [key for key, of in zip(_FIXED_KEYS, read, strict=True) if of(before) != of(after)]
    if changed:
        raise ConfigurationError(f"{', '.join(changed)}: a change needs a restart of the server")
