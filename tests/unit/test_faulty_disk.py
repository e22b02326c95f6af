"""The disk that fails on command does what it is told, and to nobody else's files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from chaos import damage
from chaos.faulty_disk import ALWAYS, Action, Call, FaultyDisk, Point, When
from tests import stored
from tests.harness import wait_until

FIRST, SECOND = b"a" * 1000, b"b" * 1000
APPEND = f"""
import os, sys
descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
os.write(descriptor, {FIRST!r})
os.fdatasync(descriptor)
os.write(descriptor, {SECOND!r})
os.fdatasync(descriptor)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shard = tmp_path / "data" / "journal" / "shard-0000"
    shard.mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def segment(data: Path) -> Path:
    return data / "journal" / "shard-0000" / "00000000000000000000.ndjson.zst"


@pytest.fixture
def disk(data: Path, tmp_path: Path) -> Iterator[FaultyDisk]:
    stored.tool("cc")
    kept = tmp_path / "kept"
    kept.mkdir()
    with FaultyDisk(data, kept) as disk:
        yield disk


def run(disk: FaultyDisk, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, **disk.environment},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("point", "content"),
    [
        (Point(Call.CREATE), None),
        (Point(Call.CREATE, When.AFTER), b""),
        (Point(Call.WRITE), FIRST),
        (Point(Call.WRITE, When.WITHIN), FIRST + SECOND[:500]),
        (Point(Call.WRITE, When.AFTER), FIRST + SECOND),
    ],
)
def test_a_process_dies_at_the_point_that_was_named(
    disk: FaultyDisk, segment: Path, point: Point, content: bytes | None
) -> None:
    first = int(point.call == Call.WRITE)
    with disk.rule(point, Action.KILL, first=first) as rule:
        assert run(disk, APPEND, segment).returncode == -signal.SIGKILL
        assert rule.hits == first + 1
    assert (segment.read_bytes() if segment.exists() else None) == content


def test_other_files_are_left_alone(disk: FaultyDisk, segment: Path, tmp_path: Path) -> None:
    for file in (tmp_path / "elsewhere.ndjson.zst", segment.with_suffix(".draft")):
        with disk.failing(*map(Point, Call), error=errno.EIO):
            assert run(disk, APPEND, file).returncode == 0
        assert file.read_bytes() == FIRST + SECOND


def test_a_failed_sync_loses_what_was_written_since_the_last(
    disk: FaultyDisk, segment: Path
) -> None:
    with disk.rule(Point(Call.FDATASYNC), Action.LOSE, value=errno.EIO, first=1):
        failed = run(disk, APPEND, segment)
    assert "Input/output error" in failed.stderr
    assert segment.read_bytes() == FIRST + bytes(len(SECOND))


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_spares_what_was_synced_and_nothing_else(
    disk: FaultyDisk, data: Path, segment: Path, seed: int
) -> None:
    with disk.rule(Point(Call.FDATASYNC), Action.SKIP, first=1):
        assert run(disk, APPEND, segment).returncode == 0
    script = "import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))"
    assert run(disk, script, segment.parent).returncode == 0
    damage.cut_power(data, disk.remains(), Random(seed))
    assert segment.read_bytes().startswith(FIRST)
    assert segment.read_bytes() != FIRST + SECOND


def test_a_power_cut_may_take_the_name_that_no_directory_has_durably(
    disk: FaultyDisk, data: Path, segment: Path
) -> None:
    assert run(disk, APPEND, segment).returncode == 0
    left = set()
    for seed in range(20):
        damage.cut_power(data, disk.remains(), Random(seed))
        left.add(segment.exists())
    assert left == {True, False}


def test_what_is_deleted_can_be_put_back(disk: FaultyDisk, segment: Path) -> None:
    script = "import os, sys; os.unlink(sys.argv[1])"
    segment.write_bytes(FIRST)
    assert run(disk, script, segment).returncode == 0
    assert not segment.exists()
    disk.put_back()
    assert segment.read_bytes() == FIRST


def test_a_call_waits_until_it_is_released(disk: FaultyDisk, segment: Path) -> None:
    with disk.rule(Point(Call.FDATASYNC), Action.HOLD, count=ALWAYS) as rule:
        process = subprocess.Popen(
            [sys.executable, "-c", APPEND, str(segment)], env={**os.environ, **disk.environment}
        )
        wait_until(lambda: rule.process)
        assert rule.process == process.pid
        assert segment.read_bytes() == FIRST
    assert process.wait() == 0
    assert segment.read_bytes() == FIRST + SECOND
