"""Unix sockets: one for each listener, of which every slot has a copy.

A file that a dead server left behind is replaced, that of a living one is not.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a bound socket."""

    path: Path
    device: int
    inode: int

    def remove(self) -> None:
        """Remove it, unless it is another's by now."""
        # A file that cannot be removed is replaced by the next server that can.
        with suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                self.path.unlink()


def bind_unix(
    kind: socket.SocketKind, address: str, mode: int
) -> tuple[socket.socket, SocketFile | None]:
    """Return a socket bound to a path, or to `@NAME` in the abstract namespace.

    Raises OSError where the address cannot be had.
    """
    opened = socket.socket(socket.AF_UNIX, kind)
    try:
        if address.startswith("@"):
            opened.bind("\0" + address.removeprefix("@"))
            return opened, None
        path = Path(address)
        _make_way(path)
        # With the mode set afterwards, others could connect in between.
        umask = os.umask(0o777 & ~mode)
        try:
            opened.bind(address)
        finally:
            os.umask(umask)
        made = path.lstat()
    except OSError:
        opened.close()
        raise
    return opened, SocketFile(path, made.st_dev, made.st_ino)


def _make_way(path: Path) -> None:
    """Remove the file of a dead server; raise OSError where another one is in the way."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    if _is_alive(path):
        raise OSError(errno.EADDRINUSE, "another server has it open")
    path.unlink()


def _is_alive(path: Path) -> bool:
    """Say whether a process has the socket open, be it listening or only bound.

    No server of ours takes this kind of connection, so the kernel says of one that is alive that
    it is of another kind, and nobody is disturbed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if error.errno in {errno.EPROTOTYPE, errno.EAGAIN}:
                return True
            raise
    return True
