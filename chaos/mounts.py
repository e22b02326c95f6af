"""Small file systems of a trial's own; only root can have them, and not on every machine."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from chaos.fault import Unavailable
from tests.harness import wait_until

_SHUT_DOWN = 0x8004587D
"""The ioctl EXT4_IOC_SHUTDOWN."""
_WITHOUT_LOG = struct.pack("I", 2)
"""What is in the log and not yet on the disk is forgotten, as without power."""


class Tmpfs:
    """Memory of limited size that serves as a disk."""

    def __init__(self, place: Path, size_bytes: int) -> None:
        self._place = place
        place.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", place)

    def remove(self) -> None:
        """Unmount it, with all that is in it."""
        _run("umount", "--lazy", self._place)


class Ext4:
    """A file system with a log, in a file."""

    def __init__(self, image: Path, place: Path, size_bytes: int) -> None:
        self._image = image
        self._place = place
        place.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", image)
        self._mount()

    def _mount(self) -> None:
        _mount("-o", "loop,errors=remount-ro", self._image, self._place)

    def cut_power(self) -> None:
        """Forget what was not synced. Nothing can be read or written until `mount_again`."""
        descriptor = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUT_DOWN, _WITHOUT_LOG)
        finally:
            os.close(descriptor)

    def become_read_only(self) -> None:
        """Have the kernel find the file system broken, whereupon it lets nobody write."""
        found = _run("findmnt", "--noheadings", "--output", "SOURCE", self._place)
        device = Path(found.strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("chaos")

    def mount_again(self) -> None:
        """Mount it anew, after a check, as an administrator would; nobody may use it."""
        wait_until(self._unmounted)  # a thread of a killed process may be at the disk yet
        # 1 says that errors were corrected, here the mark of the one that was feigned.
        _run("fsck.ext4", "-p", self._image, good=(0, 1))
        self._mount()

    def _unmounted(self) -> bool:
        try:
            _run("umount", self._place)
        except RuntimeError:
            return False
        return True

    def remove(self) -> None:
        """Unmount it, with all that is in it."""
        _run("umount", "--lazy", self._place)
        self._image.unlink()


def _mount(*arguments: str | Path) -> None:
    try:
        _run("mount", *arguments)
    except (OSError, RuntimeError) as reason:
        raise Unavailable(f"no file system can be mounted ({reason})") from reason


def _run(*command: str | Path, good: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in good:
        words = " ".join(done.stderr.split())
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {words}")
    return done.stdout
