"""The server under test: the real program, on ports and in a directory of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import processes
from ingest import contract
from ingest._native import Region
from ingest.contract import RunningServer
from ingest.counters import LedgerStatus, read_status

_START_SECONDS = 30.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.001
_LOOK_SECONDS = 0.1
_QUIET_SECONDS = 1.0
_DATAGRAM_SECONDS = 10.0
# The server looks for plugins where they are installed; ours stand in the repository.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[1])}


class FailedRunError(Exception):
    """The server did not do what a measurement presumes; there is no number to report."""


def read_journaled(region: Region) -> int:
    """Return how many events are durable, over all workers."""
    return _sum_over_all(region, "ingest_events_journaled_total")


def read_settled(region: Region) -> int:
    """Return how many events are durable or were dropped by a filter, over all workers."""
    return read_journaled(region) + _sum_over_all(region, "ingest_events_filtered_total")


def _sum_over_all(region: Region, metric: str) -> int:
    return sum(
        region.get(worker, metric, listener=listener)
        for worker in range(region.workers)
        for listener in range(len(region.listeners))
    )


class Server:
    """Starts on entering, drains on leaving; leaving fails if anything was lost."""

    def __init__(
        self,
        data_dir: Path,
        log: Path,
        configuration: Path,
        workers: int | None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self._log = log
        self._configuration = configuration
        self._workers = workers
        self._environment = {**_ENVIRONMENT, **(environment or {})}

    def __enter__(self) -> Self:
        """Start the server and wait until it is ready."""
        command = [sys.executable, "-m", "ingest", "serve", f"--data-dir={self.data_dir}"]
        command += ["--admin=127.0.0.1:0", f"--config={self._configuration}"]
        if self._workers is not None:
            command.append(f"--workers={self._workers}")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        try:
            self._attach()
        except BaseException:  # also where it is interrupted: nobody else would end the server
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server; it has to say itself that nothing was lost."""
        status = self._end()
        if status != 0 and error is None:
            raise FailedRunError(
                f"the server ended with {status}:\n{self._log.read_text()[-4000:]}"
            )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def journaled_events(self) -> int:
        """Return how many events are durable so far."""
        return read_journaled(self.region)

    def settled_events(self) -> int:
        """Return how many events are durable or were dropped by a filter so far."""
        return read_settled(self.region)

    def await_settled(
        self, events: int, deadline_seconds: float, *, refuses_some: bool = False
    ) -> int:
        """Wait until so many events are settled; return when that was, in monotonic ns.

        An event that went elsewhere ends the wait, unless some that are not counted have to.
        """
        deadline = time.monotonic() + deadline_seconds
        look_at = 0.0
        while self.settled_events() < events:
            now = time.monotonic()
            if now > look_at:
                self._check_alive()
                if not refuses_some:
                    self._check_none_refused()
                look_at = now + _LOOK_SECONDS
            if now > deadline:
                raise FailedRunError(f"{events} events were never settled: {self.ledger()}")
            time.sleep(_POLL_SECONDS)
        return time.monotonic_ns()

    def await_datagrams(self, sent: int) -> int:
        """Wait until every datagram is accounted for; return how many the kernel dropped."""
        deadline = time.monotonic() + _DATAGRAM_SECONDS
        while True:
            received = self.sum_of("ingest_datagrams_received_total", "udp")
            dropped = self.kernel_dropped()
            if received + dropped == sent:
                return dropped
            if time.monotonic() > deadline:
                raise FailedRunError(
                    f"{sent} datagrams were sent, but {received} received and {dropped} counted"
                    f" as dropped: {sent - received - dropped} are nowhere"
                )
            time.sleep(_POLL_SECONDS)

    def kernel_dropped(self) -> int:
        """Return how many datagrams the kernel had no room for so far."""
        return self.sum_of("ingest_kernel_dropped_total", "udp")

    def await_quiet(self, deadline_seconds: float) -> LedgerStatus:
        """Wait until nothing has been received for a while and nothing is in flight."""
        deadline = time.monotonic() + deadline_seconds
        before, quiet_since = self.ledger(), time.monotonic()
        while time.monotonic() - quiet_since < _QUIET_SECONDS or before.in_flight:
            if time.monotonic() > deadline:
                raise FailedRunError(f"the server does not come to rest: {before}")
            time.sleep(_LOOK_SECONDS)
            ledger = self.ledger()
            if ledger != before:
                before, quiet_since = ledger, time.monotonic()
        return before

    def sum_of(self, metric: str, listener: str) -> int:
        """Return a count of one listener, by its name, over all workers."""
        return sum(self.counts_of(metric, listener))

    def counts_of(self, metric: str, listener: str) -> list[int]:
        """Return a count of one listener, by its name, for each worker."""
        index = self.region.listeners.index(listener)
        slots = range(self.region.workers)
        return [self.region.get(slot, metric, listener=index) for slot in slots]

    def ledger(self) -> LedgerStatus:
        """Return the ledger over all workers."""
        return read_status(self.region).ledger

    def check_ledger(self, *, sent: int, filtered: int) -> None:
        """Fail unless exactly what was sent was received, and then filtered or stored.

        By the first workers, and with no event that a stage failed at.
        """
        status = read_status(self.region)
        ledger = status.ledger
        expected = (sent, filtered, sent - filtered)
        is_right = (ledger.received, ledger.filtered, ledger.journaled) == expected
        failures = [stage for stage in status.stages if stage.errors + stage.timeouts]
        restarts = any(worker.restarts for worker in status.workers)
        if not (is_right and ledger.closed) or failures or restarts:
            raise FailedRunError(
                f"sent {sent} events, {filtered} of them to be filtered,"
                f" but the ledger says {ledger}, and the stages {status.stages}"
            )

    def _end(self) -> int:
        """Have it drain, and end its workers with it; return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _attach(self) -> None:
        """Wait until it is ready and learn what it says about itself."""
        running = self._await_ready()
        self.addresses = {each.name: each.address for each in running.listeners}
        self.pids = processes.family(self._process.pid)
        descriptor = os.open(
            f"/proc/{self._process.pid}/fd/{running.region_descriptor}", os.O_RDWR | os.O_CLOEXEC
        )
        self.region = Region.attach(descriptor)
        os.close(descriptor)

    def _check_alive(self) -> None:
        if self._process.poll() is not None:
            raise FailedRunError(f"the server has ended:\n{self._end_of_log()}")

    def _check_none_refused(self) -> None:
        ledger = self.ledger()
        if ledger.dead_lettered or any(ledger.dropped.values()) or any(ledger.lost.values()):
            rejected = [each.rejected for each in read_status(self.region).listeners]
            reasons = {reason for each in rejected for reason, count in each.items() if count}
            raise FailedRunError(
                f"the server does not take these events ({', '.join(sorted(reasons))}): {ledger}"
            )

    def _await_ready(self) -> RunningServer:
        """Return what the server writes about itself once every worker is ready."""
        file = contract.server_file(self.data_dir)
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if file.exists():
                return contract.decode(file.read_bytes(), RunningServer)
            time.sleep(_POLL_SECONDS)
        raise FailedRunError(f"the server did not start:\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        return self._log.read_text()[-4000:]
