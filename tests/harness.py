"""A real server in processes of its own, for tests that speak to it over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest import contract, counters
from ingest._native import Region
from ingest.contract import RunningServer
from ingest.counters import LedgerStatus, Status

PATIENCE_SECONDS = 20.0
"""How long a test waits for what must come true; only a broken server takes so long."""


NO_STAGES = '{"enrichers":[],"redactors":[]}'
"""The pipeline of a server that stores what was sent, byte for byte."""


def wait_until(fact: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until a fact is true; return how long that took, fail after the given time."""
    begun = time.monotonic()
    while not fact():
        waited = time.monotonic() - begun
        assert waited < seconds, f"still not true after {waited:.1f} s: {fact}"
        time.sleep(0.005)
    return time.monotonic() - begun


def is_running(pid: int) -> bool:
    """Say whether a process exists and is more than an entry that nobody has reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run_command(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ingest` with these arguments to its end, whatever that is."""
    return subprocess.run(
        [sys.executable, "-m", "ingest", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Server:
    """`ingest serve` on ports of the kernel's choice; use it in a `with` statement."""

    def __init__(
        self,
        data_dir: Path,
        *,
        workers: int = 2,
        pipeline: str | None = NO_STAGES,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
    ) -> None:
        """Take the table `[pipeline]` as JSON; None leaves it to file, environment and defaults."""
        self.data_dir = data_dir
        self.log_file = data_dir.with_name(f"{data_dir.name}.log")
        self._environment = {**os.environ, **(environment or {})}
        if pipeline is not None:
            self._environment["INGEST_PIPELINE"] = pipeline
        addresses = arguments or ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
        self._command = [
            *(wrapper or (sys.executable, "-m")),
            *("ingest", "serve", "--data-dir", str(data_dir), "--workers", str(workers)),
            *("--admin", "127.0.0.1:0", "--log-format", "json", "--log-level", "DEBUG"),
            *addresses,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._region: Region | None = None

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave no process behind, whatever the test has done to them."""
        workers = [worker.pid for worker in self.status().workers] if self._region else []
        if not self.exited():
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
        for pid in workers:
            if pid and is_running(pid):
                os.kill(pid, signal.SIGKILL)

    def launch(self) -> Self:
        """Start the server and do not wait for anything."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stderr=log, env=self._environment
            )
        return self

    def start(self) -> Self:
        """Start the server and wait until every worker is ready."""
        return self.launch().start_when_announced()

    def start_when_announced(self) -> Self:
        """Wait until every worker of the launched server is ready and it says where it is."""
        wait_until(lambda: self.announced() or self.exited())
        assert not self.exited(), f"the server did not start:\n{self.log()}"
        path = f"/proc/{self.pid}/fd/{self.running().region_descriptor}"
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._region = Region.attach(descriptor)
        finally:
            os.close(descriptor)
        return self

    def announced(self) -> bool:
        """Say whether the server file is that of this very process."""
        return contract.server_file(self.data_dir).exists() and self.running().pid == self.pid

    def running(self) -> RunningServer:
        """Read the server file."""
        return contract.decode(contract.server_file(self.data_dir).read_bytes(), RunningServer)

    @property
    def pid(self) -> int:
        """The process id of the supervisor."""
        assert self._process, "start it first"
        return self._process.pid

    @property
    def region(self) -> Region:
        """The shared region; it can still be read when the server is gone."""
        assert self._region, "start it first"
        return self._region

    def status(self) -> Status:
        """Read what `ingest status` shows."""
        return counters.read_status(self.region)

    def worker_pid(self, index: int) -> int | None:
        """Return the process id of a worker that is ready, otherwise None."""
        worker = self.status().workers[index]
        return worker.pid if worker.state == "ready" else None

    def address(self, kind: str) -> tuple[str, int]:
        """Return where the first listener of a kind is bound."""
        found = next(one for one in self.running().listeners if one.kind == kind)
        host, _, port = found.address.rpartition(":")
        return host, int(port)

    def connect(self) -> socket.socket:
        """Open a connection to the first TCP listener."""
        return socket.create_connection(self.address("tcp"), timeout=PATIENCE_SECONDS)

    def send_lines(self, *lines: bytes) -> None:
        """Send lines over a connection of their own."""
        with self.connect() as connection:
            connection.sendall(b"".join(line + b"\n" for line in lines))

    def send_datagrams(self, payload: bytes, *, count: int = 1) -> None:
        """Send the same datagram `count` times to the first UDP listener."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(count):
                sender.sendto(payload, self.address("udp"))

    def settle(self, received: int) -> LedgerStatus:
        """Wait until so many events were received and none of them is on its way any more."""

        def settled() -> bool:
            ledger = self.status().ledger
            return ledger.received >= received and not ledger.in_flight

        wait_until(settled)
        ledger = self.status().ledger
        assert ledger.received == received
        assert ledger.closed
        return ledger

    def deliver(self, payload: bytes, events: int) -> LedgerStatus:
        """Send bytes over a connection of their own; wait until that many events are settled."""
        before = self.status().ledger.received
        with self.connect() as connection:
            connection.sendall(payload)
        return self.settle(before + events)

    def log(self) -> str:
        """Return all that the processes of the server have logged."""
        return self.log_file.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        assert self._process, "start it first"
        self._process.send_signal(number)

    def exited(self) -> bool:
        """Say whether the supervisor has ended."""
        assert self._process, "start it first"
        return self._process.poll() is not None

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end of the supervisor; return its exit status."""
        assert self._process, "start it first"
        return self._process.wait(seconds)

    def stop(self) -> int:
        """Drain and stop the server; return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill_tree(self) -> None:
        """Kill all processes of the server, none of which may learn that another is gone.

        The supervisor stands still first, so that it can neither replace one nor tell the others.
        """
        self.signal(signal.SIGSTOP)
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.kill()
        wait_until(lambda: not any(is_running(pid) for pid in pids))

    def kill(self) -> None:
        """Kill the supervisor, as a machine out of memory would."""
        self.signal(signal.SIGKILL)
        self.wait()
