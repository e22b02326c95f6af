"""A disk without room: senders wait, nothing is lost, and with room again it goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ingest._native import verify_directory
from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.load import numbers_by_connection
from tests.end_to_end.small_disk import (
    MIB,
    Ballast,
    intakes,
    payload,
    push,
    push_all,
    small_disk,
)
from tests.harness import Server, run_command, wait_until

FREE_BYTES = 8 * MIB
CONNECTIONS = 4
EVENTS_PER_CONNECTION = 60_000

SMALL_QUEUES = {
    "INGEST_JOURNAL__QUEUE_BYTES": "1MiB",
    "INGEST_LIMITS__ARENA_BYTES": "4MiB",
    "INGEST_SUPERVISION__DRAIN_TIMEOUT": "1s",
    "INGEST_JOURNAL__DISK_RESERVE": "0",
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a small file system with nothing on it."""
    with small_disk(tmp_path / "disk") as place:
        yield place


@pytest.fixture
def ballast(disk: Path) -> Path:
    """Return a file that takes nearly all of the disk."""
    taking = Ballast(disk)
    taking.leave(FREE_BYTES)
    return taking.file


def test_a_full_disk_holds_senders_back_and_loses_nothing(disk: Path, ballast: Path) -> None:
    """Reading stops, `status` says why, and once there is space every event is stored once."""
    with ExitStack() as stack:
        # Of two workers, one may get the room that the other gives back after a failed write.
        server = stack.enter_context(Server(disk, workers=1, environment=SMALL_QUEUES))
        connections = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        pool = stack.enter_context(ThreadPoolExecutor(CONNECTIONS))
        rest = [payload(at, EVENTS_PER_CONNECTION) for at in range(CONNECTIONS)]
        while (left := list(pool.map(push, connections, rest))) != rest:
            rest = left
        assert all(rest), "every sender is held back"
        wait_until(lambda: intakes(server) == {"paused: no space left on the disk"})

        held_back = server.status().ledger
        assert held_back.closed
        assert held_back.in_flight > 0
        assert not any(held_back.lost.values())
        shown = run_command("status", "--data-dir", disk)
        assert b"no space left on the disk" in shown.stdout
        assert "The journal cannot be written; senders wait." in server.log()
        stored.assert_verified(disk)
        # The kernel's buffers may give way a little more; the server takes nothing.
        rest = list(pool.map(push, connections, rest))
        assert all(rest), "every sender is still held back"
        assert server.status().ledger.received == held_back.received

        ballast.unlink()
        list(pool.map(push_all, connections, rest))
        ledger = server.settle(CONNECTIONS * EVENTS_PER_CONNECTION)
        assert ledger.journaled == ledger.received
        assert not any(ledger.lost.values())
        wait_until(lambda: {worker.intake for worker in server.status().workers} == {"running"})
        wait_until(lambda: "The journal can be written again." in server.log())
        assert server.stop() == ExitStatus.CLEAN

        found = numbers_by_connection(stored.events(disk))
        every_number = list(range(EVENTS_PER_CONNECTION))
        assert found == dict.fromkeys(range(CONNECTIONS), every_number)
        stored.assert_verified(disk)


def test_a_server_starts_on_a_full_disk(disk: Path, ballast: Path) -> None:
    """Only its file is missing then; it is written, and events are stored, when there is room."""
    with Server(disk) as first:
        assert first.stop() == ExitStatus.CLEAN
    with ballast.open("ab", buffering=0) as opened, suppress(OSError):
        while True:  # the last page as well
            opened.write(bytes(4096))
    server = Server(disk).launch()
    try:
        wait_until(lambda: "The disk is full" in server.log_file.read_text())
        assert not server.announced()
        assert not server.exited()
        ballast.unlink()
        with server.start_when_announced():
            server.deliver(b'{"connection":1,"number":0}\n', 1)
            assert server.stop() == ExitStatus.CLEAN
    finally:
        if not server.exited():
            server.kill()


def test_a_server_that_stops_on_a_full_disk_says_what_was_lost(disk: Path, ballast: Path) -> None:
    """It cannot wait for ever: after the drain timeout the rest is counted, and the status is 5."""
    with Server(disk, workers=1, environment=SMALL_QUEUES) as server:
        with server.connect() as connection:
            assert push(connection, payload(0, EVENTS_PER_CONNECTION))
            wait_until(lambda: intakes(server) == {"paused: no space left on the disk"})
            assert server.stop() == ExitStatus.LOST
        ledger = server.status().ledger
        rejected = sum(server.status().listeners[0].rejected.values())
        assert (ledger.in_flight, ledger.closed) == (0, True)
        assert ledger.received == ledger.journaled + ledger.lost["drain_deadline"]
        assert numbers_by_connection(stored.events(disk)) == {0: list(range(ledger.journaled))}

    ballast.unlink()
    with Server(disk, workers=1) as successor:
        successor.deliver(b'{"connection":1,"number":0}\n', 1)
        assert successor.stop() == ExitStatus.CLEAN
    # The line that the end of the connection cut in two was lost on its way to the dead letters.
    lost = ledger.lost["drain_deadline"] - rejected
    found = numbers_by_connection(stored.events(disk, missing=lost))
    assert found == {0: list(range(ledger.journaled)), 1: [0]}
    # The numbers of the lost events are given to no others: verify tells of their gap.
    reports = verify_directory(str(disk / "journal" / "shard-0000"))
    findings = [finding for report in reports for finding in report.findings]
    assert [kind for kind, _, _ in findings] == ["gap"]
