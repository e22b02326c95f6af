"""What became of letters that were sent again is not said where it is not known."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread

import pytest

from ingest._native import Region
from ingest.cli.dead import delivery
from ingest.cli.dead.delivery import Outcome, deliver
from ingest.cli.dead.destinations import Destination
from ingest.cli.dead.watching import Watch

RECEIVED, JOURNALED = "ingest_events_received_total", "ingest_events_journaled_total"


@pytest.fixture
def region() -> Region:
    """Return the region of a server with one listener."""
    return Region.create(1, ["in"], [], b"")


def store(region: Region, events: int) -> None:
    """Count events that were read and have their place."""
    region.add(0, JOURNALED, events, listener=0)
    region.add(0, RECEIVED, events, listener=0)


def refuse(region: Region) -> None:
    """Count a connection from which nothing was read."""
    region.add(0, "ingest_connections_refused_total", listener=0, label="denied")


def outcome(region: Region, kind: int, serve: Callable[[socket.socket], None]) -> Outcome:
    """Send two frames to what `serve` makes of a socket."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        address = "{}:{}".format(*server.getsockname())
        thread = Thread(target=serve, args=(server,))
        thread.start()
        destination = Destination(
            "in", "tcp" if kind == socket.SOCK_STREAM else "udp", address, listener=0
        )
        found = deliver([b"one\n", b"two\n"], destination, Watch(region, 0))
        thread.join()
        return found


def test_a_refusal_of_somebody_else_is_none_of_ours(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server still has the connection, and will read it."""
    monkeypatch.setattr(delivery, "_PATIENCE_SECONDS", 0.2)
    kept: list[socket.socket] = []

    def keep(server: socket.socket) -> None:
        kept.append(server.accept()[0])
        refuse(region)

    assert outcome(region, socket.SOCK_STREAM, keep) is Outcome.UNKNOWN
    kept[0].close()


def test_a_connection_that_was_closed_and_not_read_was_refused(region: Region) -> None:
    def close(server: socket.socket) -> None:
        server.accept()[0].close()
        refuse(region)

    assert outcome(region, socket.SOCK_STREAM, close) is Outcome.REFUSED


@pytest.mark.parametrize(
    ("others", "expected"), [(0, Outcome.TAKEN), (1, Outcome.UNKNOWN)], ids=["alone", "others"]
)
def test_datagrams_of_others_are_not_taken_for_ours(
    region: Region, others: int, expected: Outcome
) -> None:
    def read(server: socket.socket) -> None:
        for _ in range(2):
            server.recv(100)
        store(region, 2 + others)

    assert outcome(region, socket.SOCK_DGRAM, read) is expected
