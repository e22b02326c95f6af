"""How much room a disk has left, and what that comes to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ingest._native import Region
from ingest.config.disk_space import DiskSpace
from ingest.config.models import Journal
from ingest.contract import DiskPressure
from ingest.supervisor.disk import DiskWatch, Room

SIZES = st.integers(0, 1 << 50)


def level(free: int, before: DiskPressure) -> DiskPressure:
    """Return the level of a disk that warns below 1000 bytes and has a reserve of 100."""
    return Room(free, low_water_bytes=1000, reserve_bytes=100).pressure(before)


def test_a_level_is_left_with_more_room_than_it_takes_to_reach_it() -> None:
    """A quarter more; in between it stays what it is."""
    none, low, reserve = DiskPressure
    for free, before, expected in (
        (1000, none, none),
        (999, none, low),
        (1249, low, low),
        (1250, low, none),
        (99, none, reserve),
        (100, low, low),
        (124, reserve, reserve),
        (125, reserve, low),
        (1249, reserve, low),
        (1250, reserve, none),
    ):
        assert level(free, before) is expected, (free, before)


def test_without_a_reserve_a_full_disk_is_only_low() -> None:
    """Then it is the journal that finds out, and senders wait for that."""
    room = Room(0, low_water_bytes=1000, reserve_bytes=0)
    assert room.pressure(DiskPressure.RESERVE) is DiskPressure.LOW


@given(SIZES)
def test_no_bound_is_more_than_half_of_a_disk(size: int) -> None:
    """On a small disk, a size that was meant for a large one does not stop everything."""
    for text in ("50%", "10GiB", "1TiB", str(1 << 60)):
        assert DiskSpace.parse(text).of(size) <= size / 2
    assert DiskSpace.parse("0").of(size) == 0


@given(SIZES)
def test_the_defaults_leave_nearly_all_of_any_disk(size: int) -> None:
    settings = Journal()
    assert settings.reserve.of(size) <= min(size / 100, 1 << 30)
    assert settings.low_water.of(size) <= min(size / 10, 10 << 30)


@pytest.fixture
def region() -> Region:
    """Return the region of a server."""
    return Region.create(1, ["in"], [], b"")


def test_it_says_what_the_file_system_says(region: Region, tmp_path: Path) -> None:
    """Of the place that is there, whatever is missing."""
    watch = DiskWatch(region, tmp_path)
    watch.tend(5.0, Journal(disk_low_water="0", disk_reserve="0"))
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    assert region.get(None, "ingest_disk_free_bytes") == pytest.approx(free, rel=0.2)
    assert region.get(None, "ingest_disk_pressure") == DiskPressure.NONE
    assert 5.0 < watch.wake_at() <= 6.0


def test_a_directory_that_cannot_be_looked_at_is_no_shortage(
    region: Region, tmp_path: Path
) -> None:
    """Whoever writes there will find out."""
    file = tmp_path / "file"
    file.touch()
    DiskWatch(region, file / "below").tend(0.0, Journal())
    assert region.get(None, "ingest_disk_pressure") == DiskPressure.NONE


def test_an_unreadable_place_is_said_once_per_change(region: Region, tmp_path: Path) -> None:
    """Others that can be read change nothing about it."""
    journal, looks = tmp_path / "journal", iter(range(0, 100, 10))
    watch = DiskWatch(region, tmp_path)
    with structlog.testing.capture_logs() as logs:

        def look() -> int:
            watch.tend(next(looks), Journal())
            return sum("Nobody can say" in line["event"] for line in logs)

        journal.mkdir()
        assert look() == 0
        for told in (1, 2):
            journal.rmdir()
            journal.symlink_to(journal)  # a loop
            assert [look(), look()] == [told, told]
            journal.unlink()
            journal.mkdir()
            assert look() == told
