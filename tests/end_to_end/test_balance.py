"""Connections go from worker to worker: all share the load, and no stream notices."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.load import numbered_lines
from tests.harness import Server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WITH_ORIGIN = '{"enrichers":["origin"],"redactors":[]}'
LINES_PER_WRITE = 500
TURNS = 200


class Ingest(msgspec.Struct):
    """Who received an event, and when."""

    received_at: str
    shard: int


class Diagnostics(msgspec.Struct):
    """What the server has added."""

    ingest: Ingest


class Event(msgspec.Struct):
    """A numbered event of a connection, as it is stored."""

    connection: int
    number: int
    diagnostics: Diagnostics


def moved(server: Server, cause: str) -> int:
    """Return how many connections the workers have passed on for a cause."""
    return sum(
        server.region.get(worker, "ingest_connections_moved_total", label=cause)
        for worker in range(server.region.workers)
    )


def connections(server: Server) -> list[int]:
    """Return how many connections each worker has."""
    return [worker.connections for worker in server.status().workers]


def received(server: Server) -> list[int]:
    """Return how many events each worker has received."""
    return [worker.received for worker in server.status().workers]


def replace(server: Server, worker: int) -> None:
    """Have a worker hand over to a successor, and wait until that is ready."""
    pid = server.worker_pid(worker)
    assert pid is not None
    os.kill(pid, signal.SIGUSR2)
    wait_until(lambda: server.worker_pid(worker) not in (None, pid))


def assert_kept_in_order(data_dir: Path, sent: dict[int, int]) -> None:
    """Fail unless every event of every connection is stored once, and its place can be told.

    Within a shard the order is that of the journal; between shards it is that of the times, and
    no two shards have events of a connection with the same time.
    """
    decoder = msgspec.json.Decoder(Event)
    found: dict[int, list[Event]] = defaultdict(list)
    for event in map(decoder.decode, stored.events(data_dir)):
        found[event.connection].append(event)
    for events in found.values():
        shard_at: dict[str, int] = {}
        for event in events:
            origin = event.diagnostics.ingest
            assert shard_at.setdefault(origin.received_at, origin.shard) == origin.shard
        events.sort(key=lambda event: event.diagnostics.ingest.received_at)  # which is stable
    numbers = {name: [event.number for event in events] for name, events in found.items()}
    assert numbers == {name: list(range(count)) for name, count in sent.items()}


class Stream:
    """A thread that sends over one connection as fast as it can until it is stopped."""

    def __init__(self, connection: socket.socket, name: int, first: int = 0) -> None:
        self._connection = connection
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.name = name
        self.sent = first

    def _send(self) -> None:
        while not self._stopped.is_set():
            lines = numbered_lines(self.name, self.sent, LINES_PER_WRITE)
            self._connection.sendall(b"\n".join([*lines, b""]))
            self.sent += LINES_PER_WRITE

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join()


def test_connections_are_spread_evenly(tmp_path: Path) -> None:
    """The kernel's hash may have its favourite; what it gave one worker is shared all the same."""
    with Server(tmp_path / "data") as server, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(server.connect())
        wait_until(lambda: sum(connections(server)) == 200)
        assert max(connections(server)) <= 105
        stack.close()
        wait_until(lambda: sum(connections(server)) == 0)
        listener = server.status().listeners[0]
        assert (listener.connections_opened, listener.connections_closed) == (200, 200)


def test_one_fat_sender_is_shared(tmp_path: Path) -> None:
    """The workers take turns with a connection that is all there is, and keep its order."""
    with Server(tmp_path / "data", pipeline=WITH_ORIGIN) as server, server.connect() as connection:
        stream = Stream(connection, name=7)
        with stream.running():
            wait_until(lambda: moved(server, "rotation") > 0)
            before = received(server)
            wait_until(lambda: moved(server, "rotation") > TURNS)
            shares = [now - then for now, then in zip(received(server), before, strict=True)]
            assert max(shares) <= 0.6 * sum(shares)
        server.settle(stream.sent)
        assert server.stop() == ExitStatus.CLEAN
        assert_kept_in_order(server.data_dir, {7: stream.sent})


def test_a_worker_with_all_the_senders_is_relieved(tmp_path: Path) -> None:
    """As many connections with each worker, but those of one send and the others are silent."""
    with Server(tmp_path / "data", pipeline=WITH_ORIGIN) as server, ExitStack() as stack:
        of_worker: dict[int, list[tuple[int, socket.socket]]] = {0: [], 1: []}
        for name in range(8):
            connection = stack.enter_context(server.connect())
            before = received(server)
            connection.sendall(numbered_lines(name, 0, 1)[0] + b"\n")
            server.settle(name + 1)
            worker = next(at for at in (0, 1) if received(server)[at] != before[at])
            of_worker[worker].append((name, connection))
        assert {len(found) for found in of_worker.values()} == {4}

        streams = [Stream(connection, name, first=1) for name, connection in of_worker[1]]
        before = received(server)
        with ExitStack() as running:
            for stream in streams:
                running.enter_context(stream.running())
            wait_until(lambda: moved(server, "balance") > 0)
            wait_until(lambda: received(server)[0] > before[0] + 50_000)
        sent = dict.fromkeys(range(8), 1) | {stream.name: stream.sent for stream in streams}
        server.settle(sum(sent.values()))
        assert server.stop() == ExitStatus.CLEAN
        assert_kept_in_order(server.data_dir, sent)


def test_the_successor_of_a_worker_goes_on_with_its_connections(tmp_path: Path) -> None:
    """Whoever sends while a worker is replaced loses neither its connection nor an event."""
    with Server(tmp_path / "data", pipeline=WITH_ORIGIN) as server, ExitStack() as stack:
        streams = [Stream(stack.enter_context(server.connect()), name) for name in range(10)]
        with ExitStack() as running:
            for stream in streams:
                running.enter_context(stream.running())
            for _ in range(2):
                for worker in (0, 1):
                    replace(server, worker)
        assert moved(server, "replacement") > 0
        sent = {stream.name: stream.sent for stream in streams}
        ledger = server.settle(sum(sent.values()))
        assert ledger.lost == dict.fromkeys(ledger.lost, 0)
        assert sum(connections(server)) == 10
        assert server.stop() == ExitStatus.CLEAN
        assert_kept_in_order(server.data_dir, sent)
