"""A program at work on a job: a peer in a process of its own, or our own server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from bench import processes, runs, settings, stored
from bench.generator import Sent
from bench.peers.grounds import SECRET, Ground
from bench.peers.output import Output
from bench.peers.peer import Peer, Place, environment
from bench.runs import Plan
from bench.server import FailedRunError, Server
from ingest._native import Batch

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.01
ADDED = b'"diagnostics":{'
"""The member that our server adds to every JSON event."""
_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


class Running(Protocol):
    """What a measurement needs of a program."""

    address: str

    @property
    def pids(self) -> list[int]:
        """All its processes."""

    def size(self) -> int:
        """Return a number that grows with what is where it belongs, and costs little to get."""

    def written(self) -> int:
        """Return how many events are where they belong so far."""

    def flush(self) -> None:
        """Make it write what it holds back, if it has a way to be told."""

    def check(self, sent: Sent, total: int, *, may_lose: bool) -> int:
        """Fail unless it did the job on all events so far, those of one run among them.

        Return how many events of that run there are.
        """


class RunningPeer:
    """A peer; what it says is in a log that is shown where it fails."""

    def __init__(
        self, peer: Peer, ground: Ground, process: subprocess.Popen[bytes], directory: Path
    ) -> None:
        self.address = ""
        self._peer = peer
        self._ground = ground
        self._process = process
        self.output = Output(directory)

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return processes.family(self._process.pid)

    def size(self) -> int:
        """Return how many bytes it has written so far."""
        if self._process.poll() is not None:
            raise FailedRunError(f"{self._peer.name} has ended with {self._process.returncode}")
        return self.output.size()

    def written(self) -> int:
        """Return how many lines it has written so far."""
        return self.output.look()

    def flush(self) -> None:
        """Send it the signal that makes it write, if it has one."""
        if self._peer.flush_signal is not None:
            self._process.send_signal(self._peer.flush_signal)

    def check(self, sent: Sent, total: int, *, may_lose: bool) -> int:
        """Fail unless its output is as many lines, with each event of the run."""
        findings = self.output.check(self._ground, sent, may_lose=may_lose)
        if findings.events + findings.other_runs != total:
            raise FailedRunError(f"{total} lines were counted, but read back there are {findings}")
        return findings.events


class RunningServer:
    """Our own server; its journal is what the file is for others."""

    def __init__(self, server: Server, ground: Ground) -> None:
        self.address = server.addresses[ground.transport]
        self._server = server
        self._ground = ground

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return self._server.pids

    def size(self) -> int:
        """Return how many events are durable."""
        return self._server.settled_events()

    def written(self) -> int:
        """Return how many events are durable."""
        return self._server.settled_events()

    def flush(self) -> None:
        """Do nothing: it syncs every 25 ms."""

    def check(self, sent: Sent, total: int, *, may_lose: bool) -> int:
        """Fail unless the ledger and the journal have all events."""
        self._server.check_ledger(sent=total, filtered=0)
        findings = stored.check(self._server.data_dir, sent)
        wrong = findings.duplicated + findings.foreign + (0 if may_lose else findings.lost)
        if wrong or findings.events + findings.other_runs != total:
            raise FailedRunError(f"what was stored is not what was sent: {findings}")
        if self._ground.name == "json":
            check_job(stored.batches(self._server.data_dir))
        return findings.events


def check_job(batches: Iterable[Batch]) -> None:
    """Fail unless the field was masked and one added in every event of the journal."""
    for batch in batches:
        added = batch.lines.count(ADDED)
        if SECRET in batch.lines or added != batch.count:
            raise FailedRunError(
                f"of {batch.count} events from {batch.first_sequence} on {added} have what was to"
                " be added, or one is not masked"
            )


@contextmanager
def peer_at_work(plan: Plan, peer: Peer, program: Path, ground: Ground) -> Iterator[RunningPeer]:
    """Give a peer that listens; it is ended, and what it wrote is removed."""
    with runs.server_directory(plan) as directory:
        port = _free_port(ground)
        configuration = peer.configure(ground, directory, port)
        place = Place(directory, configuration, program)
        log = directory / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                peer.command(place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env=environment(program),
            ) as process,
        ):
            running = RunningPeer(peer, ground, process, directory)
            try:
                _await_port(process, ground, port)
                running.address = f"127.0.0.1:{port}"
                yield running
            except FailedRunError as error:
                error.add_note(log.read_text(errors="replace")[-2000:])
                raise
            finally:
                _end(process)


@contextmanager
def server_at_work(plan: Plan, ground: Ground) -> Iterator[RunningServer]:
    """Give our own server; leaving fails if it lost anything."""
    with runs.server_directory(plan) as directory:
        configuration = settings.write(
            directory,
            ground.pipeline,
            {ground.transport: settings.ANY_PORT},
        )
        with Server(directory / "data", directory / "log", configuration, plan.workers) as server:
            yield RunningServer(server, ground)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port(ground: Ground) -> int:
    kind = socket.SOCK_DGRAM if ground.transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(process: subprocess.Popen[bytes], ground: Ground, port: int) -> None:
    """Wait until it listens on the port itself, without a connection that would be counted."""
    deadline = time.monotonic() + _START_SECONDS
    while not _bound(ground, port) & _sockets(process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            raise FailedRunError("it did not start to listen")
        time.sleep(_POLL_SECONDS)


def _bound(ground: Ground, port: int) -> set[str]:
    """Return the sockets, by inode, that receive what is sent to the port."""
    rows = Path(f"/proc/net/{ground.transport}").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return {
        inode
        for _, local, _, state, _, _, _, _, _, inode, *_ in fields
        if local.endswith(f":{port:04X}") and (ground.transport == "udp" or state == _LISTENING)
    }


def _sockets(pid: int) -> set[str]:
    """Return the sockets that a process or one of its children has open, by inode."""
    names = set()
    for each in processes.family(pid):
        with suppress(OSError):  # it ended, or closed one, while we looked
            names |= {os.fspath(entry.readlink()) for entry in Path(f"/proc/{each}/fd").iterdir()}
    return {name[len("socket:[") : -1] for name in names if name.startswith("socket:[")}
