"""Every process of a server is killed at once: the next one says exactly what that cost."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.contract import REGION_FILE, PreviousServer
from ingest.errors import ExitStatus
from ingest.supervisor import region_file
from tests import stored
from tests.end_to_end.load import Load, numbers_by_connection
from tests.harness import Server, run_command, wait_until

ROUNDS = 10
RARELY_SYNCED = {"INGEST_JOURNAL__SYNC_INTERVAL": "30s"}
LINES = b'{"message":"received"}\n' * 1000 + b"no event\n" * 10


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    """Fail where a test leaves more in the shared memory of the machine than it found."""
    before = region_files()
    yield
    assert region_files() <= before


def region_files() -> set[Path]:
    """Return the files of all servers of this machine."""
    return set(region_file.DIRECTORY.glob(f"{region_file.PREFIX}*"))


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


def test_what_a_killed_server_lost_is_counted_exactly(tmp_path: Path) -> None:
    """Round after round: what was received is stored or called lost, and nothing is there twice."""
    data_dir = tmp_path / "data"
    sent: dict[int, int] = {}
    events = dead_letters = lost_in_all = 0
    for number in range(ROUNDS):
        with Server(data_dir) as server:
            before = server.status().previous_server
            assert before is None if number == 0 else before
            with Load(server, first_connection=number * 1_000_000) as load:
                wait_until(lambda: server.status().ledger.journaled > number * 500)  # noqa: B023
                server.kill_tree()
            died = server.status().ledger
            sent |= load.handed_over
        with Server(data_dir, workers=1 + number % 2) as successor:
            found = previous(successor)
            assert successor.status().ledger.received == 0, "counters begin at zero"
            assert successor.stop() == ExitStatus.CLEAN
        stored_events, letters = stored.events(data_dir), stored.dead_letters(data_dir)
        added = len(stored_events) - events + len(letters) - dead_letters
        assert found.received == died.received
        assert found.lost is not None
        assert added + found.lost == died.received
        assert len(stored_events) - events >= died.journaled, "what was durable stays"
        assert len(letters) - dead_letters >= died.dead_lettered
        events, dead_letters = len(stored_events), len(letters)
        lost_in_all += found.lost
    numbers = numbers_by_connection(stored_events + [letter.line + b"}" for letter in letters])
    assert lost_in_all > 0, "no round has tested anything"
    for connection, of_connection in numbers.items():
        assert max(Counter(of_connection).values()) == 1
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
        server.kill()
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
