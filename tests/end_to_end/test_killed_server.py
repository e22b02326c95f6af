"""Every process of a server is killed at once: the next one says exactly what that cost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ingest import contract
from ingest.contract import REGION_FILE, PreviousServer, ServerDescription
from ingest.counters import LedgerStatus
from ingest.errors import ExitStatus
from ingest.supervisor import region_file
from tests import stored
from tests.end_to_end.load import Load, numbers_by_connection
from tests.harness import Server, is_running, run_command, wait_until

ROUNDS = 10
RARELY_SYNCED = {"INGEST_JOURNAL__SYNC_INTERVAL": "30s"}
LINES = b'{"message":"received"}\n' * 1000 + b"no event\n" * 10


@pytest.fixture(autouse=True)
def _nothing_stays_behind(tmp_path: Path) -> Iterator[None]:
    """Fail where a server of the test has left its file in the shared memory of the machine."""
    yield
    for file in region_file.DIRECTORY.glob(f"{region_file.PREFIX}*"):
        with suppress(OSError, ValueError):  # it belongs to another server, which stops just now
            region = region_file.read(file.name)
            data_dir = contract.decode(region.descriptor, ServerDescription).data_dir
            assert not Path(data_dir).is_relative_to(tmp_path)


def file_of(data_dir: Path) -> Path:
    """Return the file that the note in a data directory names."""
    note = json.loads((data_dir / REGION_FILE).read_bytes())
    return region_file.DIRECTORY / str(note["file"])


def previous(server: Server) -> PreviousServer:
    """Return what a server says of the one before it."""
    found = server.status().previous_server
    assert found
    return found


def entries(server: Server, text: str) -> list[dict[str, Any]]:
    """Return the log entries of this server that begin with a text."""
    logged = (json.loads(line) for line in server.log().splitlines() if line.startswith("{"))
    return [entry for entry in logged if entry["message"].startswith(text)]


def kill_with_events_in_flight(data_dir: Path, *, workers: int = 2) -> int:
    """Kill a server that has stored next to nothing; return how many events it received."""
    with Server(data_dir, workers=workers, environment=RARELY_SYNCED) as server:
        for _ in range(4):
            received = server.status().ledger.received
            with server.connect() as connection:
                connection.sendall(LINES)
            wait_until(lambda: server.status().ledger.received == received + 1010)  # noqa: B023
        server.kill_tree()
        return server.status().ledger.received


def test_what_killed_servers_lost_is_counted_exactly(tmp_path: Path) -> None:
    """Round after round: what was received is stored or called lost, and nothing is there twice.

    The number of workers changes, so that some find the journals of others and some find nobody.
    """
    data_dir = tmp_path / "data"
    died: LedgerStatus | None = None
    events: list[bytes] = []
    letters: list[stored.DeadLetter] = []
    sent: dict[int, int] = {}
    lost = 0
    for number in range(ROUNDS + 1):
        with Server(data_dir, workers=2 - number % 2) as server:
            had_events, had_letters = len(events), len(letters)
            events, letters = stored.events(data_dir), stored.dead_letters(data_dir)
            if died:
                new_events, new_letters = len(events) - had_events, len(letters) - had_letters
                assert new_events >= died.journaled, "what was durable stays"
                assert new_letters >= died.dead_lettered
                found = previous(server)
                assert found.lost is not None
                assert found.received == died.received == new_events + new_letters + found.lost
                lost += found.lost
            assert server.status().ledger.received == 0, "counters begin at zero"
            if number == ROUNDS:
                assert server.stop() == ExitStatus.CLEAN
                break
            with Load(server, first_connection=number * 1_000_000) as load:
                wait_until(lambda: server.status().ledger.received > number * 500)  # noqa: B023
                server.kill_tree()
            died = server.status().ledger
            sent |= load.handed_over
    assert lost > 0, "no round has tested anything"
    numbers = numbers_by_connection([*events, *(letter.line + b"}" for letter in letters)])
    for connection, of_connection in numbers.items():
        assert len(set(of_connection)) == len(of_connection)
        assert max(of_connection) < sent[connection]
    stored.assert_verified(data_dir)


def test_the_loss_is_logged_by_listener_and_shown(tmp_path: Path) -> None:
    """In the log, in `ingest status`, and as a metric, until the server has stopped in order."""
    data_dir = tmp_path / "data"
    received = kill_with_events_in_flight(data_dir)
    with Server(data_dir, workers=1) as server:  # the second shard is nobody's now
        assert len(stored.shards(data_dir)) == 2
        kept = len(stored.events(data_dir)) + len(stored.dead_letters(data_dir))
        lost = received - kept
        assert lost > 0
        (entry,) = entries(server, "The server before this one was killed")
        assert entry["listener"] == "tcp-0"
        assert (entry["received"], entry["lost"]) == (received, lost)
        assert entry["journaled"] + entry["dead_lettered"] == kept
        page = run_command("status", "--data-dir", data_dir).stdout.decode()
        assert f"previous server: killed, {lost:,} of {received:,} events lost" in page
        assert server.region.get(None, "ingest_previous_server_lost_events") == lost
        assert server.region.get(None, "ingest_previous_server_loss_unknown") == 0
        assert server.stop() == ExitStatus.CLEAN
    with Server(data_dir) as server:
        assert server.status().previous_server is None


def test_workers_that_outlive_their_supervisor_lose_nothing(tmp_path: Path) -> None:
    """They store what they have; that the server did not stop in order is said all the same."""
    data_dir = tmp_path / "data"
    with Server(data_dir, environment=RARELY_SYNCED) as server:
        server.send_lines(b'{"message":"received"}')
        wait_until(lambda: server.status().ledger.received == 1)
        pids = [worker.pid for worker in server.status().workers]
        server.kill()
        wait_until(lambda: not any(is_running(pid) for pid in pids if pid))
    with Server(data_dir) as server:
        found = previous(server)
        assert (found.received, found.lost, found.reason) == (1, 0, None)


def test_a_server_that_stops_in_order_leaves_no_file(tmp_path: Path) -> None:
    """Neither in shared memory nor in the data directory, though both were there."""
    data_dir = tmp_path / "data"
    with Server(data_dir) as server:
        file = file_of(data_dir)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_blocks * 512 >= file.stat().st_size, "its space is reserved"
        server.stop()
    assert not file.exists()
    assert not (data_dir / REGION_FILE).exists()


def test_a_start_that_fails_does_not_forget(tmp_path: Path) -> None:
    """What the first start after the kill would have said, the next one says."""
    data_dir = tmp_path / "data"
    received = kill_with_events_in_flight(data_dir)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = Server(data_dir, arguments=["--tcp", address]).launch()
        assert refused.wait() == ExitStatus.BOOT
    with Server(data_dir) as server:
        found = previous(server)
        kept = len(stored.events(data_dir)) + len(stored.dead_letters(data_dir))
        assert (found.received, found.lost) == (received, received - kept)


def test_without_shared_memory_the_server_runs_and_the_loss_is_unknown(tmp_path: Path) -> None:
    """As in a container whose /dev/shm is full: it is said at the start and after the kill."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    data_dir = tmp_path / "data"
    mount = 'mount -t tmpfs -o size=4096 tmpfs /dev/shm && exec "$0" -m "$@"'
    wrapper = [stored.tool("unshare"), "--mount", "sh", "-c", mount, sys.executable]
    if subprocess.run([*wrapper[:-1], "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    with Server(data_dir, wrapper=wrapper) as server:
        assert entries(server, "The counters have no file")
        server.deliver(b'{"message":"stored"}\n', 1)
        server.kill_tree()
    with Server(data_dir) as server:
        assert previous(server).reason == "its counters had no file"
        assert stored.events(data_dir) == [b'{"message":"stored"}']


def test_a_file_that_is_gone_leaves_the_loss_unknown(tmp_path: Path) -> None:
    """As when a container is made anew: the server starts, and says that it does not know."""
    data_dir = tmp_path / "data"
    kill_with_events_in_flight(data_dir)
    file_of(data_dir).unlink()
    with Server(data_dir) as server:
        found = previous(server)
        assert (found.received, found.lost) == (None, None)
        assert found.reason == "its counters are gone from /dev/shm"
        assert server.region.get(None, "ingest_previous_server_loss_unknown") == 1
        page = run_command("status", "--data-dir", data_dir).stdout.decode()
        assert "previous server: killed, not known how many events were lost" in page
        assert server.stop() == ExitStatus.CLEAN


def test_a_server_of_another_version_left_its_file(tmp_path: Path) -> None:
    """Its counters mean something else, so they are refused, and their file is not kept."""
    data_dir = tmp_path / "data"
    kill_with_events_in_flight(data_dir)
    file = file_of(data_dir)
    with file.open("r+b") as opened:
        opened.seek(16)  # the hash of the schema
        opened.write(os.urandom(8))
    with Server(data_dir) as server:
        reason = previous(server).reason
        assert reason
        assert reason.endswith("made by another version of this program")
        assert not file.exists()


def test_a_copy_of_a_data_directory_is_not_the_one_that_was_killed(tmp_path: Path) -> None:
    """The server of the original may be running: its counters are neither read nor removed."""
    data_dir, copy = tmp_path / "data", tmp_path / "copy"
    with Server(data_dir) as server:
        file = file_of(data_dir)
        copy.mkdir()
        (copy / REGION_FILE).write_bytes((data_dir / REGION_FILE).read_bytes())
        with Server(copy) as other:
            assert previous(other).reason == "this data directory is a copy of its own"
        assert file.exists()
        assert server.stop() == ExitStatus.CLEAN
