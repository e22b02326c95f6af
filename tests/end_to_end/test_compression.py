"""How the journal is kept: packed or not, in segments that are closed and at last deleted."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ingest.errors import ExitStatus
from ingest.events import Samples
from tests import stored
from tests.harness import Server, run_command, wait_until

MIB = 1024 * 1024
COUNT = 20_000
LINES = Samples(seed=1).lines(0, COUNT)


def journal_bytes(data_dir: Path) -> int:
    """Return the size of all segments of events."""
    return sum(segment.stat().st_size for segment in stored.segments(data_dir))


def test_a_packed_journal_holds_the_same_in_less_space(tmp_path: Path) -> None:
    """Behind segments that are not packed, too: `zstd` and our own reader read it as one."""
    data_dir = tmp_path / "data"
    with Server(data_dir, workers=1) as server:
        server.deliver(LINES[0], 1)
        assert server.stop() == ExitStatus.CLEAN
    environment = {"INGEST_JOURNAL__COMPRESSION": "zstd", "INGEST_JOURNAL__LEVEL": "3"}
    with Server(data_dir, workers=1, environment=environment) as server:
        server.deliver(b"\n".join(LINES[1:]), COUNT - 1)
        assert server.stop() == ExitStatus.CLEAN
    assert stored.events(data_dir) == LINES
    assert stored.decompress(data_dir).splitlines() == LINES
    command = [stored.tool("zstd"), "-tq", "--", *map(str, stored.segments(data_dir))]
    subprocess.run(command, check=True)
    assert journal_bytes(data_dir) < sum(map(len, LINES)) / 3
    stored.assert_verified(data_dir)
    shown = run_command("tail", "-n", 2, "--data-dir", data_dir)
    assert shown.stdout.splitlines() == LINES[-2:]


def test_a_segment_of_the_configured_size_is_followed_by_another(tmp_path: Path) -> None:
    """Each is named by the sequence number of its first event, and together they hold them all."""
    environment = {"INGEST_JOURNAL__SEGMENT_BYTES": "1MiB"}
    data_dir = tmp_path / "data"
    with Server(data_dir, workers=1, environment=environment) as server:
        for first in range(0, COUNT, 1000):
            server.deliver(b"\n".join(LINES[first : first + 1000]), 1000)
        assert server.stop() == ExitStatus.CLEAN
    segments = stored.segments(data_dir)
    assert len(segments) >= 4
    next_sequence = 0
    for segment in segments:
        assert segment.name == f"{next_sequence:020}.ndjson.zst"
        command = [stored.tool("zstd"), "-dcq", str(segment)]
        lines = subprocess.run(command, check=True, capture_output=True).stdout.count(b"\n")
        next_sequence += lines
    assert next_sequence == COUNT
    assert stored.events(data_dir) == LINES
    stored.assert_verified(data_dir)


def test_the_oldest_segments_make_room(tmp_path: Path) -> None:
    """With a bound on its size a shard keeps the newest events, without a gap, and no others."""
    environment = {
        "INGEST_JOURNAL__SEGMENT_BYTES": "1MiB",
        "INGEST_JOURNAL__RETENTION_BYTES": "2MiB",
    }
    data_dir = tmp_path / "data"
    with Server(data_dir, workers=1, environment=environment) as server:
        for first in range(0, COUNT, 1000):
            server.deliver(b"\n".join(LINES[first : first + 1000]), 1000)
        wait_until(lambda: journal_bytes(data_dir) < 4 * MIB)
        ledger = server.status().ledger
        assert (ledger.journaled, ledger.closed) == (COUNT, True)
        shown = run_command("tail", "-n", COUNT, "--data-dir", data_dir)
        kept = shown.stdout.splitlines()
        assert server.stop() == ExitStatus.CLEAN
    assert 2_000 < len(kept) < COUNT
    assert kept == LINES[-len(kept) :]
    first_segment, *_ = stored.segments(data_dir)
    assert first_segment.name == f"{COUNT - len(kept):020}.ndjson.zst"
    stored.assert_verified(data_dir)
