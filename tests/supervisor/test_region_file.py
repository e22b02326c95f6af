"""The file of the region and the note of it: what is made, and what is refused when it is found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest._native import Region
from ingest.contract import REGION_FILE, RegionNote
from ingest.supervisor import previous_server, region_file
from ingest.supervisor.data_directory import DataDirectory
from tests import stored

NAME = f"{region_file.PREFIX}0123456789abcdef"
NOBODY = 65534


def make(file: int | None) -> Region:
    """Make a small region."""
    return Region.create(2, ["in"], [], b"mine", file=file)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system with room for one page, as the /dev/shm of a container may be full."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mount, unmount = stored.tool("mount"), stored.tool("umount")
    command = [mount, "-t", "tmpfs", "-o", "size=4096", "tmpfs", str(tmp_path)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield tmp_path
    finally:
        subprocess.run([unmount, "--lazy", str(tmp_path)], check=True)


def test_what_is_counted_is_found_in_the_file(tmp_path: Path) -> None:
    """Under a name of its own, with all its space, for its owner only; removed, it is gone."""
    region, name = region_file.create(make, tmp_path)
    assert name
    status = (tmp_path / name).stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_blocks * 512 >= status.st_size
    region.add(1, "ingest_events_received_total", 7, listener=0)
    found = region_file.read(name, tmp_path)
    assert found.get(1, "ingest_events_received_total", listener=0) == 7
    assert found.descriptor == b"mine"
    found.add(1, "ingest_events_received_total", 1, listener=0)
    assert region.get(1, "ingest_events_received_total", listener=0) == 7, "it is a copy"
    region_file.remove(name, tmp_path)
    region_file.remove(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_directory_for_it_there_is_no_file(tmp_path: Path) -> None:
    """The region is made all the same."""
    region, name = region_file.create(make, tmp_path / "missing")
    assert (region.workers, name) == (2, None)


def test_without_room_for_it_there_is_no_file(tiny: Path) -> None:
    """Nor does half of one stay: a cell that cannot be written would kill the server later."""
    region, name = region_file.create(make, tiny)
    assert (region.workers, name) == (2, None)
    assert not list(tiny.iterdir())


def test_a_note_on_a_full_disk_is_written_later(tiny: Path) -> None:
    """Until then there is none, rather than that of another server."""
    first, second = (
        RegionNote(file=None, boot_id="", directory_inode=0, started_at=when) for when in ("1", "2")
    )
    killed = DataDirectory(tiny, patience_seconds=0.0)
    assert killed.note_region(first)
    os.close(killed.lock)
    directory = DataDirectory(tiny, patience_seconds=0.0)
    assert directory.noted_region() == first
    assert not directory.note_region(second)
    assert directory.noted_region() is None
    assert directory.note_region(second), "the note of the other has made room"
    assert directory.noted_region() == second
    directory.forget_region()
    assert directory.noted_region() is None
    directory.release()


@pytest.mark.parametrize("text", ["", "{}", '{"file":'])
def test_a_note_that_is_none(text: str, tmp_path: Path) -> None:
    """Somebody has put it there: the server starts and does not know what was lost."""
    (tmp_path / REGION_FILE).write_text(text)
    directory = DataDirectory(tmp_path, patience_seconds=0.0)
    remains = previous_server.settle(directory)
    assert remains
    assert (remains.server.lost, remains.file) == (None, None)
    assert remains.server.reason
    assert remains.server.reason.startswith("its note cannot be read")
    directory.release()


def test_a_machine_that_was_started_again(tmp_path: Path) -> None:
    """Whatever lies under the name in the note is not what the server left."""
    region, name = region_file.create(make, tmp_path)
    directory = DataDirectory(tmp_path, patience_seconds=0.0)
    inode = tmp_path.stat().st_ino
    note = RegionNote(file=name, boot_id="another", directory_inode=inode, started_at="then")
    assert directory.note_region(note)
    remains = previous_server.settle(directory, tmp_path)
    assert remains
    assert remains.server.reason == "the machine was started again"
    assert (remains.server.started_at, region.workers) == ("then", 2)
    directory.release()


def test_counters_that_contradict_each_other(tmp_path: Path) -> None:
    """No number is better than a wrong one."""
    region, name = region_file.create(make, tmp_path)
    region.set(0, "ingest_events_filtered_total", 7, listener=0)
    directory = DataDirectory(tmp_path, patience_seconds=0.0)
    boot_id, inode = previous_server.boot_id(), tmp_path.stat().st_ino
    note = RegionNote(file=name, boot_id=boot_id, directory_inode=inode, started_at="then")
    assert directory.note_region(note)
    remains = previous_server.settle(directory, tmp_path)
    assert remains
    assert remains.server.reason == "its counters contradict each other"
    directory.release()


def test_a_region_that_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    """Its error is told to the caller."""
    with pytest.raises(ValueError, match="workers"):
        region_file.create(lambda file: Region.create(0, [], [], b"", file=file), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"garbage" * 10_000, b"INGESTRG" + bytes(8192)])
def test_a_file_that_is_no_region(content: bytes, tmp_path: Path) -> None:
    """It is refused, and being ours it can be removed."""
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        region_file.read(NAME, tmp_path)
    region_file.remove(NAME, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_region_that_is_cut_off(tmp_path: Path) -> None:
    """Whatever of it is missing."""
    _, name = region_file.create(make, tmp_path)
    assert name
    length = (tmp_path / name).stat().st_size
    for left in (length - 1, length // 2, 4096, 80):
        os.truncate(tmp_path / name, left)
        with pytest.raises(ValueError, match="incompatible shared region"):
            region_file.read(name, tmp_path)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "others may write", "of another"])
def test_a_file_that_is_not_ours(kind: str, tmp_path: Path) -> None:
    """It is neither read nor removed, and nobody waits for a pipe."""
    place, target = tmp_path / NAME, tmp_path / "target"
    region, name = region_file.create(make, tmp_path)
    assert name
    (tmp_path / name).rename(target)
    match kind:
        case "link":
            place.symlink_to(target)
        case "pipe":
            os.mkfifo(place)
        case "directory":
            place.mkdir()
        case "others may write":
            target.rename(place).chmod(0o622)
        case _:
            target.rename(place)
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            os.chown(place, NOBODY, NOBODY)
    with pytest.raises((OSError, ValueError)):
        region_file.read(NAME, tmp_path)
    region_file.remove(NAME, tmp_path)
    assert place.exists()
    assert region.workers == 2


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "ingest-region-", f"x{NAME}"])
def test_a_name_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    """The note in a data directory names files of servers, and can name no others."""
    with pytest.raises(ValueError, match="not the name of a region"):
        region_file.read(name, tmp_path)
