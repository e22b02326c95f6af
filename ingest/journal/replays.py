r"""What is known of dead letters that were sent again: `<data_dir>/dead/replayed.ndjson`.

Each line says what became of some: `{"state":"sending","letters":{"0":[[5,9]]}}`, by shard the
ranges of sequence numbers, each with the number behind it. A line is synced before what it says is
begun, so whatever dies, none is sent twice unnoticed. Opening it writes it anew, as two lines.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import msgspec

from ingest.errors import IngestError
from ingest.journal.dead_letters import Identity
from ingest.journal.ranges import Ranges
from ingest.journal.shards import SEGMENT_SUFFIX

REPLAYS_FILE = "replayed.ndjson"


class ReplayState(Enum):
    """How it stands with sending a dead letter again."""

    NEW = "new"
    """It was not sent again, or the server has certainly not taken it."""
    SENDING = "sending"
    """It was sent, or was going to be, and nobody knows whether it arrived."""
    TAKEN = "taken"
    """It was sent, and taken."""


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: ReplayState
    letters: dict[int, list[tuple[int, int]]]


class Replays:
    """Which dead letters were sent again."""

    def __init__(self, known: bytes = b"") -> None:
        """Take the content of the file; what a crash has left of a last line was not begun."""
        self._sending: dict[int, Ranges] = {}
        self._taken: dict[int, Ranges] = {}
        for line in known.split(b"\n")[:-1]:
            self._apply(msgspec.json.decode(line, type=_Note))

    def state(self, identity: Identity) -> ReplayState:
        """Say how it stands with a dead letter."""
        for ranges, state in (
            (self._taken, ReplayState.TAKEN),
            (self._sending, ReplayState.SENDING),
        ):
            if identity.shard in ranges and identity.sequence in ranges[identity.shard]:
                return state
        return ReplayState.NEW

    def forget_deleted(self, first_of: Callable[[int], int | None]) -> None:
        """Forget letters that are gone: all below the first that a shard may hold, or all of it."""
        for by_shard in (self._sending, self._taken):
            for shard, ranges in list(by_shard.items()):
                first = first_of(shard)
                if first is None:
                    del by_shard[shard]
                else:
                    ranges.discard(0, first)

    def note(self, state: ReplayState, identities: Iterable[Identity]) -> bytes:
        """Take note of what becomes of letters; return the line that says so."""
        by_shard: dict[int, Ranges] = {}
        for identity in identities:
            ranges = by_shard.setdefault(identity.shard, Ranges())
            ranges.add(identity.sequence, identity.sequence + 1)
        note = _Note(state, _listed(by_shard))
        self._apply(note)
        return _line(note)

    def encode(self) -> bytes:
        """Return all that is known in as few lines as can be."""
        return b"".join(
            _line(_Note(state, letters))
            for state, letters in (
                (ReplayState.SENDING, _listed(self._sending)),
                (ReplayState.TAKEN, _listed(self._taken)),
            )
            if letters
        )

    def _apply(self, note: _Note) -> None:
        for shard, ranges in note.letters.items():
            sending = self._sending.setdefault(shard, Ranges())
            for start, end in ranges:
                if note.state is ReplayState.SENDING:
                    sending.add(start, end)
                else:
                    sending.discard(start, end)
                if note.state is ReplayState.TAKEN:
                    self._taken.setdefault(shard, Ranges()).add(start, end)


class ReplayLog:
    """The file, open for a replay; nobody else writes to it meanwhile."""

    def __init__(self, replays: Replays, descriptor: int) -> None:
        self.replays = replays
        self._descriptor = descriptor

    def note(self, state: ReplayState, identities: Iterable[Identity]) -> None:
        """Take note of what becomes of letters; it is on the disk when this returns."""
        line = self.replays.note(state, identities)
        # What a full disk leaves of a line would spoil the next one.
        begun = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, begun)
            raise


def read_replays(directory: Path) -> Replays:
    """Read the file of a directory of dead letters, which need not exist."""
    file = directory / REPLAYS_FILE
    try:
        return Replays(file.read_bytes())
    except FileNotFoundError:
        return Replays()
    except msgspec.DecodeError as error:
        raise IngestError(
            f"{file}: is damaged: {error}; without it nobody knows what was sent again"
        ) from None


@contextmanager
def open_replays(directory: Path) -> Iterator[ReplayLog]:
    """Open the file for a replay, without the letters that are gone.

    Raises IngestError where another replay is at work.
    """
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IngestError(f"another replay is at work on {directory}") from None
        replays = read_replays(directory)
        replays.forget_deleted(lambda shard: _first(directory, shard))
        descriptor = _write_anew(directory / REPLAYS_FILE, replays.encode(), folder)
        try:
            yield ReplayLog(replays, descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(folder)


def _write_anew(file: Path, content: bytes, folder: int) -> int:
    """Replace the file as a whole or not at all; return it open for more."""
    draft = file.with_suffix(".draft")
    descriptor = os.open(
        draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o640
    )
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
        draft.replace(file)
        os.fsync(folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _first(directory: Path, shard: int) -> int | None:
    """Return the first sequence number that a shard may still hold; None where it has no files."""
    segments = (directory / f"shard-{shard:04}").glob(f"*{SEGMENT_SUFFIX}")
    numbers = (at.name.removesuffix(SEGMENT_SUFFIX) for at in segments)
    return min(map(int, filter(str.isdigit, numbers)), default=None)


def _listed(by_shard: Mapping[int, Ranges]) -> dict[int, list[tuple[int, int]]]:
    return {shard: list(ranges) for shard, ranges in by_shard.items() if ranges}


def _line(note: _Note) -> bytes:
    return msgspec.json.encode(note) + b"\n"
