"""The server under test: the real program, on free ports and a directory of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


class FailedRunError(Exception):
    """The server did not do what a measurement presumes; there is no number to report."""


class Server:
    """Starts on entering, drains on leaving; leaving fails if anything was lost."""

    def __init__(self, data_dir: Path, log: Path, workers: int | None) -> None:
        self._data_dir = data_dir
        self._log = log
        self._workers = workers

    def __enter__(self) -> Self:
        """Start the server and wait until it is ready."""
        command = [sys.executable, "-m", "ingest", "serve", f"--data-dir={self._data_dir}"]
        command += ["--tcp=127.0.0.1:0", "--admin=127.0.0.1:0"]
        if self._workers is not None:
            command.append(f"--workers={self._workers}")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        running = self._await_ready()
        self.address = running.listeners[0].address
        self.pids = processes.family(self._process.pid)
        descriptor = os.open(
            f"/proc/{self._process.pid}/fd/{running.region_descriptor}", os.O_RDWR | os.O_CLOEXEC
        )
        self.region = Region.attach(descriptor)
        os.close(descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server; it has to say itself that nothing was lost."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status != 0 and error is None:
            raise FailedRunError(
                f"the server ended with {status}:\n{self._log.read_text()[-4000:]}"
            )

    def durable_events(self) -> int:
        """Return how many events are durable so far."""
        workers = range(self.region.workers)
        return sum(
            self.region.get(worker, "ingest_events_journaled_total", listener=0)
            for worker in workers
        )

    def await_durable(self, events: int, deadline_seconds: float) -> int:
        """Wait until so many events are durable; return when that was, in monotonic ns."""
        deadline = time.monotonic() + deadline_seconds
        while self.durable_events() < events:
            if time.monotonic() > deadline:
                raise FailedRunError(f"{events} events never became durable: {self.ledger()}")
            time.sleep(_POLL_SECONDS)
        return time.monotonic_ns()

    def ledger(self) -> LedgerStatus:
        """Return the ledger over all workers."""
        return read_status(self.region).ledger

    def check_ledger(self, sent: int) -> None:
        """Fail unless exactly what was sent was received and stored, by the first workers."""
        status = read_status(self.region)
        ledger = status.ledger
        stored = ledger.received == ledger.journaled == sent and ledger.closed
        if not stored or any(worker.restarts for worker in status.workers):
            raise FailedRunError(f"sent {sent} events, but the ledger says {ledger}")

    def _await_ready(self) -> RunningServer:
        """Return what the server writes about itself once every worker is ready."""
        file = contract.server_file(self._data_dir)
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if file.exists():
                return contract.decode(file.read_bytes(), RunningServer)
            time.sleep(_POLL_SECONDS)
        self._process.kill()
        raise FailedRunError(f"the server did not start:\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        return self._log.read_text()[-4000:]
