"""Unix sockets: streams and datagrams of the same machine, shared by all workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.load import numbered_lines, numbers_by_connection
from tests.harness import PATIENCE_SECONDS, Server, is_running, wait_until

NO_FLAGS = ("--log-level", "DEBUG")
"""No addresses: the environment has the listeners."""
ROOM = 5
"""Datagrams that the kernel holds for a socket nobody reads; it has room for ten by default."""


class Sockets:
    """A server with a stream and a datagram socket beside its data directory."""

    def __init__(self, directory: Path) -> None:
        self.stream = directory / "stream.sock"
        self.datagrams = directory / "datagrams.sock"
        listeners = [
            {"kind": "unix", "address": str(self.stream)},
            {
                "kind": "unix",
                "address": str(self.datagrams),
                "socket": "datagram",
                "mode": "0622",
                "limits": {"line_bytes": "16MiB"},
            },
        ]
        environment = {"INGEST_LISTENERS": json.dumps(listeners)}
        self.server = Server(directory / "data", environment=environment, arguments=NO_FLAGS)

    def send_lines(self, *lines: bytes) -> None:
        """Send lines over a connection of their own."""
        with socket.socket(socket.AF_UNIX) as sender:
            sender.settimeout(PATIENCE_SECONDS)
            sender.connect(str(self.stream))
            sender.sendall(b"".join(line + b"\n" for line in lines))

    def send_datagrams(self, *datagrams: bytes, buffer_bytes: int | None = None) -> None:
        """Send datagrams; the kernel lets the sender wait where there is no room for them."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE_SECONDS)
            if buffer_bytes is not None:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            sender.connect(str(self.datagrams))
            for datagram in datagrams:
                sender.send(datagram)

    def stop_workers(self) -> list[int]:
        """Keep the workers from reading; return their process ids."""
        workers = [self.server.worker_pid(0) or 0, self.server.worker_pid(1) or 0]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        return workers


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Sockets]:
    sockets = Sockets(tmp_path)
    with sockets.server:
        yield sockets


def test_what_is_sent_to_a_unix_socket_is_stored(sockets: Sockets) -> None:
    """From many connections, each in order, and from more datagrams than the kernel holds."""
    for name in range(20):
        sockets.send_lines(*numbered_lines(name, 0, 500))
    sockets.send_datagrams(*numbered_lines(99, 0, 1_000))
    ledger = sockets.server.settle(20 * 500 + 1_000)
    assert ledger.journaled == ledger.received
    # Unlike those of UDP, these are never dropped.
    assert ledger.kernel_dropped == 0
    streams, datagrams = sockets.server.status().listeners
    assert (streams.kind, datagrams.kind) == ("unix_stream", "unix_datagram")
    assert (streams.connections_opened, datagrams.datagrams) == (20, 1_000)
    found = numbers_by_connection(stored.events(sockets.server.data_dir))
    assert sorted(found.pop(99)) == list(range(1_000))
    assert found == {name: list(range(500)) for name in range(20)}


def test_a_datagram_is_an_event_or_is_known_to_be_too_long(sockets: Sockets) -> None:
    """Far longer than one of UDP; what cannot be taken whole is not taken for something shorter."""
    longest = b'{"message":"' + b"x" * (262_144 - 14) + b'"}'
    too_long = b'{"message":"cut"}\n' + b"y" * 300_000
    sockets.send_datagrams(
        longest, b'{"message":"a"}\n{"message":"b"}', b"", too_long, buffer_bytes=400_000
    )
    sockets.server.settle(4)
    assert sorted(stored.events(sockets.server.data_dir), key=len) == [
        b'{"message":"a"}',
        b'{"message":"b"}',
        longest,
    ]
    (letter,) = stored.dead_letters(sockets.server.data_dir)
    assert (letter.reason, letter.length) == ("line_too_long", len(too_long))
    assert letter.truncated
    assert too_long.startswith(letter.line)


def test_what_waits_in_a_unix_socket_survives_a_worker(sockets: Sockets) -> None:
    """And a worker that stands still keeps nothing from the others."""
    first, second = sockets.stop_workers()
    sockets.send_lines(*numbered_lines(0, 0, 100))
    sockets.send_datagrams(*numbered_lines(1, 0, ROOM))
    os.kill(first, signal.SIGKILL)
    sockets.server.settle(100 + ROOM)
    assert is_running(second)
    os.kill(second, signal.SIGCONT)
    found = numbers_by_connection(stored.events(sockets.server.data_dir))
    assert {name: sorted(numbers) for name, numbers in found.items()} == {
        0: list(range(100)),
        1: list(range(ROOM)),
    }


def test_what_waits_when_the_server_stops_is_stored_and_the_files_are_gone(
    sockets: Sockets,
) -> None:
    """The senders of datagrams are told that nobody is there any more."""
    assert stat.S_IMODE(sockets.stream.stat().st_mode) == 0o660
    assert stat.S_IMODE(sockets.datagrams.stat().st_mode) == 0o622
    workers = sockets.stop_workers()
    sockets.send_lines(*numbered_lines(0, 0, 100))
    sockets.send_datagrams(*numbered_lines(1, 0, ROOM))
    sockets.server.signal(signal.SIGTERM)
    wait_until(lambda: "Stopping." in sockets.server.log())
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert sockets.server.wait() == ExitStatus.CLEAN
    assert len(stored.events(sockets.server.data_dir)) == 100 + ROOM
    assert not sockets.stream.exists()
    assert not sockets.datagrams.exists()
    with pytest.raises(FileNotFoundError):
        sockets.send_datagrams(b"{}")


def test_a_server_that_was_killed_does_not_keep_the_next_one_out(sockets: Sockets) -> None:
    """It left its files behind, and nobody is behind them."""
    sockets.server.kill()
    assert sockets.stream.is_socket()
    with sockets.server.start():
        sockets.send_lines(b'{"message":"again"}')
        sockets.send_datagrams(b'{"message":"and again"}')
        sockets.server.settle(2)
