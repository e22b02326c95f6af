"""A disk that fails on command: what is preloaded into the server, and the rules that it follows.

Give a server `FaultyDisk.environment`. Rules act at once in all of its processes, on files below
one directory, and hits are counted over all of them. The server takes the machine for idle.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from chaos import preload

_SOURCE = Path(__file__).with_suffix(".c")

# The layout of `struct control` in the source.
_DIRECTORIES = struct.Struct("1024s1024s")
_RULE = struct.Struct("<4I4Q80s")
_RULES = 16
_FILE = struct.Struct("<5Q")
_FILES = 4096
_FILES_OFFSET = _DIRECTORIES.size + _RULES * _RULE.size
_HITS_OFFSET = struct.calcsize("<4I2Q")
_PROCESS_OFFSET = struct.calcsize("<4I3Q")

ALWAYS = 2**63


class Call(IntEnum):
    """What is done to a file or directory."""

    CREATE = 1
    """Opened, and was not there before."""
    WRITE = 2
    FDATASYNC = 3
    """The group commit of a segment."""
    FSYNC = 4
    """Of a directory, or of a segment that was cut."""
    TRUNCATE = 5
    RENAME = 6
    """The path is the new one."""
    UNLINK = 7
    MKDIR = 8


class When(IntEnum):
    """Where in the call."""

    BEFORE = 0
    WITHIN = 1
    """When half of it is done; of a write only."""
    AFTER = 2
    """When it is done and the caller does not know yet; of a call that worked only."""


class Action(IntEnum):
    """What happens there."""

    KILL = 1
    """The process kills itself."""
    FAIL = 2
    """The call fails with an error; what a sync was for can be read, and is never synced."""
    HOLD = 3
    """It waits until the rule is taken back."""
    DELAY = 4
    """It waits so many milliseconds."""
    SKIP = 5
    """It is not done, and says that it was; of writes and syncs."""
    LOSE = 6
    """As `FAIL`, and what the sync was for cannot even be read any more."""


class Point(msgspec.Struct, frozen=True):
    """A place in the code of the server, by what it does to which files."""

    call: Call
    when: When = When.BEFORE
    pattern: str = "*.ndjson.zst"
    """Of the path, with wildcards; `*` takes `/` too."""


class Rule:
    """A rule that is in force; see `FaultyDisk.rule`."""

    def __init__(self, control: mmap.mmap, offset: int) -> None:
        self._control = control
        self._offset = offset

    @property
    def hits(self) -> int:
        """How many calls have come to its point."""
        return self._read(_HITS_OFFSET)

    @property
    def process(self) -> int:
        """The process that it has acted on last, or 0 before the first."""
        return self._read(_PROCESS_OFFSET)

    def _read(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self._control, self._offset + offset)[0])

    def end(self) -> None:
        """Take it back."""
        struct.pack_into("<I", self._control, self._offset, 0)


class Remains(msgspec.Struct, frozen=True):
    """What a power cut is sure to leave of a file."""

    synced_bytes: int
    is_named: bool
    """Whether the directory that has its name was synced since."""


class FaultyDisk:
    """The files below `directory`, an absolute path without symbolic links.

    Segments that are deleted go to the directory `kept`, if there is one, until `put_back`.
    """

    def __init__(self, directory: Path, kept: Path | None = None) -> None:
        self._library = preload.library(_SOURCE)
        self._control_file = tempfile.NamedTemporaryFile(prefix="faulty-disk-")  # noqa: SIM115
        self._control_file.truncate(_FILES_OFFSET + _FILES * _FILE.size)
        self._control = mmap.mmap(self._control_file.fileno(), 0)
        self._directory, self._kept = directory, kept
        paths = (os.fsencode(directory), os.fsencode(kept or ""))
        _DIRECTORIES.pack_into(self._control, 0, *paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget the rules; no server may use them any more."""
        self._control.close()
        self._control_file.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """What to add to the environment of the server."""
        return {"LD_PRELOAD": str(self._library), "FAULTY_DISK": self._control_file.name}

    def set(
        self, point: Point, action: Action, *, value: int = 0, first: int = 0, count: int = 1
    ) -> Rule:
        """Have `count` calls acted upon, beginning with the one that comes `first`, from now on.

        `value` is an error number or milliseconds. Of several rules for a call the oldest acts.
        """
        for number in range(_RULES):
            offset = _DIRECTORIES.size + number * _RULE.size
            if not struct.unpack_from("<I", self._control, offset)[0]:
                break
        else:
            raise RuntimeError("too many rules")
        rest = (point.when, action, value, first, count, 0, 0, point.pattern.encode())
        _RULE.pack_into(self._control, offset, 0, *rest)
        struct.pack_into("<I", self._control, offset, point.call)  # it begins to be one
        return Rule(self._control, offset)

    @contextmanager
    def rule(
        self, point: Point, action: Action, *, value: int = 0, first: int = 0, count: int = 1
    ) -> Iterator[Rule]:
        """Set a rule and take it back at the end of the block."""
        rule = self.set(point, action, value=value, first=first, count=count)
        try:
            yield rule
        finally:
            rule.end()

    @contextmanager
    def without_syncs(self) -> Iterator[None]:
        """Have no group commit synced: a benchmark's other half, or a disk that lies."""
        with self.rule(Point(Call.FDATASYNC), Action.SKIP, count=ALWAYS):
            yield

    @contextmanager
    def failing(self, *points: Point, error: int) -> Iterator[list[Rule]]:
        """Have all calls that come to one of the points fail during the block."""
        rules = [self.set(point, Action.FAIL, value=error, count=ALWAYS) for point in points]
        try:
            yield rules
        finally:
            for rule in rules:
                rule.end()

    def put_back(self) -> None:
        """Put the deleted segments where they were; raise FileExistsError if one came again."""
        for segment in self._kept.iterdir() if self._kept else ():
            place = self._directory.joinpath(*segment.name.split("+"))
            if place.exists() and place.stat().st_size:
                raise FileExistsError(place)
            segment.replace(place)

    def remains(self) -> dict[int, Remains]:
        """Return what a power cut would leave of the files written since, by inode."""
        table = self._control[_FILES_OFFSET:]
        return {
            inode: Remains(synced_bytes=synced, is_named=directory == 0)
            for inode, synced, _, _, directory in _FILE.iter_unpack(table)
            if inode
        }
