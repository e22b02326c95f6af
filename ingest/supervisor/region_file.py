"""The file of the shared region, by whose name the next server finds the counters of a killed one.

It lies in the shared memory of the machine: no disk is written to, and nothing of it outlives the
machine. A file that is found there is never trusted: it is read once and used as a copy.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ingest import logs
from ingest._native import Region

# Everybody may write there, so each file is made exclusively, and for its owner only.
DIRECTORY = Path("/dev/shm")  # noqa: S108 # nosec B108
PREFIX = "ingest-region-"
"""What every name begins with."""
_NAME = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")
_MAXIMUM_BYTES = 256 * 1024 * 1024  # some thousand workers

_log = logs.get_logger(__name__)


def create(
    make: Callable[[int | None], Region], directory: Path = DIRECTORY
) -> tuple[Region, str | None]:
    """Have a region made in a new file; return it with the name of the file.

    The name is None where there can be no file: then the region is made without one. What `make`
    raises for other reasons is raised.
    """
    name = PREFIX + secrets.token_hex(8)
    path = directory / name
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        _say_that_there_is_none(error)
        return make(None), None
    try:
        return make(descriptor), name
    except OSError as error:
        path.unlink(missing_ok=True)
        _say_that_there_is_none(error)
        return make(None), None
    except ValueError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _say_that_there_is_none(error: OSError) -> None:
    _log.warning(
        "The counters have no file: if all processes are killed, nobody can say what was lost.",
        reason=str(error),
    )


def read(name: str, directory: Path = DIRECTORY) -> Region:
    """Return a copy of the region in a file.

    Raises FileNotFoundError where it is gone, OSError and ValueError where it is not one of ours or
    of another version of this program.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("not the name of a region")
    # Neither a link nor a pipe may lead or hold us anywhere.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(directory / name, flags), "rb") as file:  # noqa: PTH123 - only os has flags
        if not _is_ours(os.fstat(file.fileno())):
            raise ValueError("not a file that this user alone can write to")
        content = file.read(_MAXIMUM_BYTES + 1)
    if len(content) > _MAXIMUM_BYTES:
        raise ValueError("too large for a region")
    with open(os.memfd_create(name), "w+b", buffering=0) as copy:  # noqa: PTH123 - it has no path
        copy.write(content)
        return Region.attach(copy.fileno())


def remove(name: str, directory: Path = DIRECTORY) -> None:
    """Remove a file if it is there and one of ours."""
    path = directory / name
    with suppress(FileNotFoundError):
        if _NAME.fullmatch(name) and _is_ours(path.lstat()):
            path.unlink()


def _is_ours(status: os.stat_result) -> bool:
    is_private = not stat.S_IMODE(status.st_mode) & 0o022
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and is_private
