"""`ingest verify --chain` and `ingest repair`, each as a process, on journals of a real server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ingest._native import JournalReader
from ingest.errors import ExitStatus
from tests.harness import Server, run_command, wait_until

EVENTS = 12


def store(server: Server, number: int) -> None:
    """Have one event stored, as a batch of its own."""
    before = server.status().ledger.journaled
    server.send_lines(b'{"message":"event %d"}' % number)
    wait_until(lambda: server.status().ledger.journaled > before)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with two sealed segments of some batches each; do not change it."""
    data_dir = tmp_path_factory.mktemp("care") / "data"
    for start in range(0, EVENTS, EVENTS // 2):
        with Server(data_dir, workers=1) as server:
            for number in range(start, start + EVENTS // 2):
                store(server, number)
            assert server.stop() == ExitStatus.CLEAN
    with Server(data_dir, workers=1) as server:
        # What there was no time to seal at the end is sealed at the next start.
        wait_until(lambda: len(seals(data_dir)) == 2)
        assert server.stop() == ExitStatus.CLEAN
    return data_dir


@pytest.fixture
def data_dir(stored: Path, tmp_path: Path) -> Path:
    """Return a copy of the stored data directory."""
    return Path(shutil.copytree(stored, tmp_path / "data"))


def shard(data_dir: Path) -> Path:
    """Return the directory of the one shard."""
    return data_dir / "journal" / "shard-0000"


def segments(data_dir: Path) -> list[Path]:
    """Return its segments, oldest first, without an empty one."""
    found = sorted(shard(data_dir).glob("*.ndjson.zst"))
    return [segment for segment in found if segment.stat().st_size]


def seals(data_dir: Path) -> list[dict[str, object]]:
    """Return the seals of its chain."""
    file = shard(data_dir) / "seals.ndjson"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def messages(data_dir: Path) -> list[str]:
    """Return the messages that a reader finds."""
    reader = JournalReader(str(shard(data_dir)))
    found: list[str] = []
    while True:
        try:
            batch = reader.next()
        except RuntimeError:
            continue
        if batch is None:
            return found
        found += [json.loads(line)["message"] for line in batch.lines.splitlines()]


def damage(segment: Path, text: bytes) -> None:
    """Change one byte of an event's text."""
    data = bytearray(segment.read_bytes())
    data[data.index(text)] ^= 1
    segment.write_bytes(data)


class TestChain:
    """What was sealed cannot be changed unseen."""

    def test_an_untouched_journal_has_a_good_chain(self, data_dir: Path) -> None:
        """Its head is printed, to be kept elsewhere."""
        done = run_command("verify", "--chain", "--data-dir", data_dir)
        assert done.returncode == ExitStatus.CLEAN, done.stdout
        assert str(seals(data_dir)[-1]["digest"]).encode() in done.stdout
        assert b"2 segments as they were sealed, 0 faults in the chains" in done.stdout

    def test_a_change_with_right_checksums_is_found(self, data_dir: Path) -> None:
        """A segment exchanged for another good one passes `verify`, but not its chain."""
        first, second = segments(data_dir)
        shutil.copy(first, second)
        assert b"is not what was sealed" in self.refused(data_dir)

    def test_a_missing_segment_is_found_and_retention_is_none(self, data_dir: Path) -> None:
        """The oldest may be gone; what is behind it may not."""
        first, second = segments(data_dir)
        kept = second.rename(data_dir / "kept")
        assert b"is sealed and not there" in self.refused(data_dir)
        kept.rename(second)
        first.unlink()
        done = run_command("verify", "--chain", "--data-dir", data_dir)
        assert done.returncode == ExitStatus.CLEAN, done.stdout

    def test_a_head_kept_elsewhere_is_required(self, data_dir: Path) -> None:
        """Without it, a chain made anew cannot be told from the one there was."""
        head = str(seals(data_dir)[-1]["digest"])
        assert run_command("verify", "--head", head, "--data-dir", data_dir).returncode == 0
        with (shard(data_dir) / "seals.ndjson").open("r+") as file:
            file.readline()
            file.truncate(file.tell())
        again = run_command("verify", "--chain", "--data-dir", data_dir)
        assert again.returncode == ExitStatus.CLEAN, again.stdout
        refused = run_command("verify", "--head", head, "--data-dir", data_dir)
        assert refused.returncode == ExitStatus.UNEXPECTED
        assert f"{head}: is in no chain".encode() in refused.stdout

    def refused(self, data_dir: Path) -> bytes:
        """Return what is printed of a chain with faults."""
        done = run_command("verify", "--chain", "--data-dir", data_dir)
        assert done.returncode == ExitStatus.UNEXPECTED
        return done.stdout


class TestRepair:
    """A repair loses nothing that can be read, nor the evidence."""

    def test_intact_batches_and_the_damaged_file_stay(self, data_dir: Path) -> None:
        """Afterwards `verify` reports what is lost as known, with the chain too."""
        segment = segments(data_dir)[0]
        damage(segment, b"event 3")
        before, readable = segment.read_bytes(), messages(data_dir)
        planned = run_command("repair", "--dry-run", "--data-dir", data_dir)
        assert planned.returncode == ExitStatus.UNEXPECTED
        assert segment.read_bytes() == before
        done = run_command("repair", "--data-dir", data_dir)
        assert done.returncode == ExitStatus.CLEAN, done.stderr
        assert b"1 segments repaired, 1 events in them known to be lost" in done.stdout
        assert segment.with_name(f"{segment.name}.damaged").read_bytes() == before
        assert messages(data_dir) == readable
        assert len(readable) == EVENTS - 1
        verified = run_command("verify", "--chain", "--data-dir", data_dir)
        assert verified.returncode == ExitStatus.CLEAN, verified.stdout
        assert b"known gap" in verified.stdout
        assert b"was repaired" in verified.stdout
        again = run_command("repair", "--data-dir", data_dir)
        assert again.returncode == ExitStatus.CLEAN
        assert b"0 segments repaired" in again.stdout

    def test_a_server_is_not_disturbed(self, data_dir: Path) -> None:
        """Neither with its data directory nor with one of its shards."""
        with Server(data_dir, workers=1) as server:
            for arguments in (("--data-dir", data_dir), (shard(data_dir),)):
                refused = run_command("repair", *arguments)
                assert refused.returncode == ExitStatus.UNEXPECTED
                assert b"a server works there; stop it first" in refused.stderr
            assert server.stop() == ExitStatus.CLEAN

    def test_what_is_not_there_is_not_taken_for_good(self, tmp_path: Path) -> None:
        """A path that does not exist is a mistake."""
        refused = run_command("repair", tmp_path / "none")
        assert refused.returncode == ExitStatus.UNEXPECTED
        assert b"is not a directory" in refused.stderr
