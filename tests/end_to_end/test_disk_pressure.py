"""A disk that runs out of room: people are warned, then senders wait, and others keep the rest."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

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

# Far more than is written before somebody looks at what is left.
DISK_BYTES, LOW_WATER, RESERVE = 512 * MIB, 256 * MIB, 128 * MIB
CONNECTIONS = 3
EVENTS_PER_CONNECTION = 40_000
PADDING_BYTES = 2500
SETTINGS = {
    "INGEST_JOURNAL__QUEUE_BYTES": "1MiB",
    "INGEST_LIMITS__ARENA_BYTES": "4MiB",
    "INGEST_JOURNAL__DISK_LOW_WATER": "50%",
    "INGEST_JOURNAL__DISK_RESERVE": "128MiB",
}
WAITS = "paused: no more than the reserve is free on the disk"
WARNING = "The disk is running out of room."
ALARM = "Only the reserve of the disk is left; senders wait."
RELIEF = "The disk has room again."


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a small file system with nothing on it."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as place:
        yield place


def pressure(server: Server) -> str:
    """Return what `status` says of the disk."""
    return server.status().disk.pressure


def answer(server: Server, path: str) -> str:
    """Return what the admin server answers."""
    with urllib.request.urlopen(f"http://{server.running().admin}{path}", timeout=10) as found:
        return str(found.read().decode())


def free_bytes(disk: Path) -> int:
    """Return what is free."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def test_people_are_warned_before_anything_happens(disk: Path) -> None:
    """Once, in the log, the status and the metrics; the server stays ready and takes everything."""
    ballast = Ballast(disk)
    with Server(disk, environment=SETTINGS) as server:
        wait_until(lambda: server.status().disk.free_bytes)
        assert pressure(server) == "none"
        for _ in range(2):
            ballast.leave(LOW_WATER - 8 * MIB)
            wait_until(lambda: pressure(server) == "low")
            # No room to speak of: it is still the same shortage.
            ballast.leave(LOW_WATER + 4 * MIB)
            wait_until(lambda: server.status().disk.free_bytes > LOW_WATER)
            assert pressure(server) == "low"
        assert server.log().count(WARNING) == 1
        server.deliver(b'{"connection":0,"number":0}\n', 1)
        assert answer(server, "/readyz")
        assert "ingest_disk_pressure 1.0" in answer(server, "/metrics")
        shown = json.loads(answer(server, "/status"))["disk"]
        assert (shown["low_water_bytes"], shown["reserve_bytes"]) == (LOW_WATER, RESERVE)
        assert b"LESS THAN 0.25 GiB" in run_command("status", "--data-dir", disk).stdout
        ballast.remove()
        wait_until(lambda: pressure(server) == "none")
        wait_until(lambda: RELIEF in server.log())


def test_senders_wait_while_only_the_reserve_is_left(disk: Path) -> None:
    """What is free then stays free for others, nothing is lost, and it goes on by itself."""
    ballast = Ballast(disk)
    ballast.leave(RESERVE + 4 * MIB)
    with ExitStack() as stack:
        server = stack.enter_context(Server(disk, workers=2, environment=SETTINGS))
        connections = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        pool = stack.enter_context(ThreadPoolExecutor(CONNECTIONS))
        rest = [payload(at, EVENTS_PER_CONNECTION, PADDING_BYTES) for at in range(CONNECTIONS)]
        while (left := list(pool.map(push, connections, rest))) != rest:
            rest = left
        assert all(rest), "every sender is held back"
        wait_until(lambda: intakes(server) == {WAITS})
        assert pressure(server) == "reserve"
        assert server.log().count(ALARM) == 1
        assert b"SENDERS WAIT" in run_command("status", "--data-dir", disk).stdout
        assert answer(server, "/readyz")

        wait_until(lambda: not server.status().ledger.in_flight)
        held_back = server.status().ledger
        assert held_back.received == held_back.journaled > 0
        assert free_bytes(disk) > 0
        # A little more room is no reason to go on.
        ballast.leave(RESERVE + 4 * MIB)
        wait_until(lambda: server.status().disk.free_bytes > RESERVE)
        assert server.status().ledger.received == held_back.received
        assert "The journal cannot be written" not in server.log(), "it never came to that"

        ballast.remove()
        list(pool.map(push_all, connections, rest))
        server.settle(CONNECTIONS * EVENTS_PER_CONNECTION)
        wait_until(lambda: {worker.intake for worker in server.status().workers} == {"running"})
        assert server.stop() == ExitStatus.CLEAN
    found = numbers_by_connection(stored.events(disk))
    # Workers may have passed connections on to one another.
    assert sorted(found) == list(range(CONNECTIONS))
    for numbers in found.values():
        assert sorted(numbers) == list(range(EVENTS_PER_CONNECTION))


def test_what_has_arrived_is_stored_by_a_server_that_stops(disk: Path) -> None:
    """The reserve is there for that; so is it for a server that starts."""
    ballast = Ballast(disk)
    ballast.leave(RESERVE // 2)
    with Server(disk, workers=1, environment=SETTINGS) as server:
        server.send_lines(b'{"connection":0,"number":0}')
        wait_until(lambda: server.status().workers[0].intake == WAITS)
        assert server.status().ledger.received == 0
        assert server.stop() == ExitStatus.CLEAN
    assert numbers_by_connection(stored.events(disk)) == {0: [0]}


def test_retention_makes_room_while_senders_wait(disk: Path, tmp_path: Path) -> None:
    """What has become too old is deleted although nothing is written, and senders go on."""
    file = tmp_path / "ingest.toml"
    file.touch()
    arguments = ("--config", str(file), "--tcp", "127.0.0.1:0")
    with Server(disk, workers=1, environment=SETTINGS, arguments=arguments) as server:
        with server.connect() as connection:
            push_all(connection, payload(0, EVENTS_PER_CONNECTION, PADDING_BYTES))
        server.settle(EVENTS_PER_CONNECTION)
        Ballast(disk).leave(RESERVE - MIB)
        wait_until(lambda: pressure(server) == "reserve")
        server.send_lines(b'{"connection":1,"number":0}')
        wait_until(lambda: server.status().workers[0].intake == WAITS)
        file.write_text('[journal]\nsegment_age = "1s"\nretention_age = "1s"\n')
        assert run_command("reload", "--data-dir", disk).returncode == ExitStatus.CLEAN
        server.settle(EVENTS_PER_CONNECTION + 1)


def test_a_reload_changes_what_is_reserved(disk: Path, tmp_path: Path) -> None:
    """Without a restart, senders that wait go on."""
    file = tmp_path / "ingest.toml"
    file.write_text('[journal]\ndisk_reserve = "50%"\n')
    Ballast(disk).leave(RESERVE)
    with Server(disk, arguments=("--config", str(file), "--tcp", "127.0.0.1:0")) as server:
        server.send_lines(b'{"connection":0,"number":0}')
        wait_until(lambda: WAITS in {worker.intake for worker in server.status().workers})
        file.write_text('[journal]\ndisk_reserve = "1MiB"\n')
        assert run_command("reload", "--data-dir", disk).returncode == ExitStatus.CLEAN
        assert server.settle(1).journaled == 1
