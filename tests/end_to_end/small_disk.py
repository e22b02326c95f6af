"""A small file system of its own for a server, and senders that notice when nobody reads."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import stored
from tests.end_to_end.load import numbered_lines
from tests.harness import Server

MIB = 1024 * 1024
DISK_BYTES = 128 * MIB
BLOCKED_SECONDS = 0.5
"""A sender of whom the kernel has taken nothing for so long is held back."""
PADDING_BYTES = 200


@contextmanager
def small_disk(place: Path, size_bytes: int = DISK_BYTES) -> Iterator[Path]:
    """Yield an empty file system; skip the test where nobody may mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place.mkdir()
    mount, unmount = stored.tool("mount"), stored.tool("umount")
    command = [mount, "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield place
    finally:
        subprocess.run([unmount, "--lazy", str(place)], check=True)


class Ballast:
    """A file that takes nearly all of a disk, as another program might."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self.file = disk / "ballast"

    def leave(self, free_bytes: int) -> None:
        """Leave so much free, whatever else is on the disk, and at no moment much more."""
        with self.file.open("ab") as opened:
            found = os.statvfs(self._disk)
            size = opened.tell() + found.f_bavail * found.f_frsize - free_bytes
            if size < opened.tell():
                opened.truncate(size)
            else:
                os.posix_fallocate(opened.fileno(), 0, size)

    def remove(self) -> None:
        """Leave all of it free."""
        self.file.unlink(missing_ok=True)


def payload(connection: int, count: int, padding_bytes: int = PADDING_BYTES) -> memoryview:
    """Return all that one connection has to send."""
    end = b',"x":"%b"}\n' % (b"x" * padding_bytes)
    return memoryview(b"".join(line[:-1] + end for line in numbered_lines(connection, 0, count)))


def push(connection: socket.socket, rest: memoryview) -> memoryview:
    """Send until everything is sent or the sender is held back; return what is left."""
    connection.settimeout(BLOCKED_SECONDS)
    try:
        while rest:
            rest = rest[connection.send(rest[:65536]) :]
    except TimeoutError:
        pass
    return rest


def push_all(connection: socket.socket, rest: memoryview) -> None:
    """Send everything, however long it takes, and close."""
    connection.settimeout(None)
    connection.sendall(rest)
    connection.close()


def intakes(server: Server) -> set[str]:
    """Return what `status` says of the intake of the workers that have connections."""
    return {worker.intake for worker in server.status().workers if worker.connections}
