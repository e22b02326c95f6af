"""The one loop of the supervisor: signals, ends of processes, and what is due by the clock.

It serves until it is told to stop or cannot start, then stops in order: workers drain, what dead
ones left is settled, the admin role goes last. It never touches an event.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING

import msgspec

from ingest import counters, logs
from ingest.contract import WorkerState
from ingest.errors import BootError, ConfigurationError, ExitStatus, IngestError
from ingest.supervisor import process
from ingest.supervisor.admin_post import AdminPost
from ingest.supervisor.disk import DiskWatch
from ingest.supervisor.reloading import Reloading, log_listening
from ingest.supervisor.worker_post import WorkerPost

if TYPE_CHECKING:
    from ingest.config import Settings
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.deployment import Deployment
    from ingest.supervisor.post import End, Post
    from ingest.supervisor.signals import SignalQueue

_ADMIN_STOP_SECONDS = 5.0
_ONE_REQUEST_SECONDS = 0.5  # timeout(1) and others send a signal to us and again to our group
_KILL_SECONDS = 10.0  # a killed process may hang in the kernel, for one on a dead disk

_log = logs.get_logger(__name__)


class Arbiter:
    """Runs one server from the first spawn to the last reaped process."""

    def __init__(
        self,
        load: Callable[[], Settings],
        deployment: Deployment,
        resources: Resources,
        signals: SignalQueue,
    ) -> None:
        settings = deployment.settings
        self._supervision = settings.supervision
        self._resources = resources
        self._workers = [WorkerPost(deployment, resources, at) for at in range(settings.workers)]
        self._admin = AdminPost(settings, resources)
        self._reloading = Reloading(load, deployment, resources, self._workers)
        self._disk = DiskWatch(resources.region, resources.data_directory.path)
        self._posts: tuple[Post, ...] = (*self._workers, self._admin)
        self._signals = signals
        self._booted = self._announced = False
        self._stop_requests = 0
        self._stop_requested_at = -inf
        self._turned_at = inf
        self._failure: IngestError | None = None

    def run(self) -> ExitStatus:
        """Serve until told to stop; raise BootError or ConfigurationError if it cannot start."""
        while not self._stop_requests and not self._failure:
            self._turn(inf)
            self._note_boot()
            if self._announced and not self._stop_requests:
                self._reloading.tend(time.monotonic())
        if not self._failure:
            _log.info("Stopping.", drain_timeout_seconds=self._supervision.drain_timeout)
        # Closed before the workers are told: from here on nothing more is queued for them.
        self._resources.sockets.close()
        self._stop(self._workers, self._supervision.drain_timeout)
        self._settle()
        self._stop([self._admin], _ADMIN_STOP_SECONDS)
        if self._failure:
            raise self._failure
        return self._report()

    def _turn(self, deadline: float) -> None:
        """Wait for a signal, the next thing due or the deadline, then do all there is to do."""
        now = time.monotonic()
        self._excuse_all_if_late(now, self._turned_at)
        # No later than this, so that a pause of the whole machine is seen as coming late.
        look_again = now + self._supervision.heartbeat_timeout / 4
        self._disk.tend(now, self._reloading.deployment.settings.journal)
        wake_at = min(
            deadline, look_again, self._disk.wake_at(), *(post.wake_at(now) for post in self._posts)
        )
        signals = self._signals.wait(wake_at - now)
        self._excuse_all_if_late(time.monotonic(), max(now, wake_at))
        for number in signals:
            self._handle(number)
        for pid, code in process.reap():
            self._handle_end(pid, code)
        now = self._turned_at = time.monotonic()
        for post in self._posts:
            post.tend(now)

    def _excuse_all_if_late(self, now: float, wake_at: float) -> None:
        """Where we could not run, as in a suspended machine, neither could the workers."""
        if now - wake_at > self._supervision.heartbeat_timeout / 2:
            _log.warning("The machine stood still.", late_seconds=round(now - wake_at, 3))
            for post in self._posts:
                post.excuse(now)

    def _handle(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGTERM | signal.SIGINT:
                self._request_stop(time.monotonic())
            case signal.SIGHUP:
                self._reloading.request_reload()
            case signal.SIGUSR1:
                self._reloading.request_replacement()
            case _:  # SIGCHLD has done its work by waking the loop
                pass

    def _request_stop(self, now: float) -> None:
        """Count the requests to stop; the second one forces."""
        if now - self._stop_requested_at > _ONE_REQUEST_SECONDS:
            self._stop_requests += 1
            self._stop_requested_at = now

    def _handle_end(self, pid: int, code: int) -> None:
        post = next((post for post in self._posts if pid in post.pids), None)
        if post is None:  # as PID 1 we inherit the orphans of others
            return
        now = time.monotonic()
        if isinstance(post, WorkerPost) and pid != post.pid:
            post.companion_ended(pid, code, now)
            return
        end = post.ended(code, now)
        if isinstance(post, WorkerPost) and not self._booted and not self._stop_requests:
            self._failure = self._failure or _failed_start(post, end)
        if self._failure:
            post.drain(now)  # no other attempt; the one line to come says it all
        else:
            post.report(end)

    def _note_boot(self) -> None:
        """Announce the server, when every worker is ready; give up where one never will be."""
        if self._announced:
            return
        slots = [worker.slot for worker in self._workers]
        if not self._booted and any(slot.breaker_open for slot in slots):
            self._failure = BootError("a worker cannot be started; the last messages say why")
        if any(slot.state is not WorkerState.READY for slot in slots):
            return
        self._booted = True
        try:
            self._announced = self._reloading.announce()
        except BootError as error:
            self._failure = error
        if self._announced:
            self._log_boot()

    def _log_boot(self) -> None:
        for listener in self._reloading.deployment.listeners:
            log_listening(listener.describe())
        _log.info(
            "Ready.",
            workers=len(self._workers),
            admin=self._resources.admin_address,
            data_dir=str(self._resources.data_directory.path),
        )

    def _stop(self, posts: Sequence[Post], patience_seconds: float) -> None:
        """Tell processes to end and wait; kill them when patience or a second signal ends it."""
        now = time.monotonic()
        deadline = now + patience_seconds
        for post in posts:
            post.drain(now)
        while (left := [post for post in posts if post.pids]) and time.monotonic() < deadline:
            if self._stop_requests > 1:
                break
            self._turn(deadline)
        for post in left:
            post.kill("not ended in time")
        deadline = time.monotonic() + _KILL_SECONDS
        while any(post.pids for post in left) and time.monotonic() < deadline:
            self._turn(deadline)

    def _settle(self) -> None:
        for worker in self._workers:
            if worker.pids:
                continue  # hanging in the kernel, and perhaps still writing
            try:
                worker.settle()
            except (OSError, ValueError, RuntimeError) as error:
                _log.error(
                    "What a dead worker left in its journals cannot be read.",
                    worker=worker.index,
                    reason=str(error),
                )

    def _report(self) -> ExitStatus:
        region = self._resources.region
        ledger = counters.add_up(
            region.ledger(worker, listener)
            for worker in range(region.workers)
            for listener in range(len(region.listeners))
        )
        # Nobody is left to finish what is still in flight.
        lost = sum(ledger.lost.values()) + ledger.in_flight
        log = _log.warning if lost else _log.info
        log("Stopped.", **msgspec.structs.asdict(ledger))
        return ExitStatus.LOST if lost else ExitStatus.CLEAN


def _failed_start(post: WorkerPost, end: End) -> IngestError | None:
    """Return why the server cannot start, or None where the worker may have another attempt."""
    message = f"worker {post.index} did not start: {end.how}"
    if end.code == ExitStatus.CONFIGURATION:
        return ConfigurationError(f"{message}; its last message says why")
    if end.code == ExitStatus.BOOT:
        return BootError(f"{message}; its last message says why")
    if end.stuck or post.slot.breaker_open:
        return BootError(message)
    return None
