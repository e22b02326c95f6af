"""Read the dead letters of a data directory, each with its identity.

They are read batch by batch, in the order in which they were received, and never held together.
"""

from __future__ import annotations

import base64
import heapq
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from ingest._native import JournalReader
from ingest.journal.shards import list_shards

_SHARD = re.compile(r"shard-(\d{4,9})")
_IDENTITY = re.compile(r"(\d{1,9})-(\d{1,19})")
_MASK = "***"


class Identity(NamedTuple):
    """What a dead letter is called for ever: its shard and its sequence number there."""

    shard: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.shard}-{self.sequence}"


def parse_identity(text: str) -> Identity:
    """Return the identity that `SHARD-SEQUENCE` names; raise ValueError where it is none."""
    match = _IDENTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no identity; write it like 0-1234")
    return Identity(int(match[1]), int(match[2]))


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of a line that is no event; `DeadLetter` in native/src/dead_letter.rs."""

    received_at: str
    listener: str
    peer: str | None = None
    reason: str
    stage: str | None = None
    """The plugin that failed, for `stage_failed`."""
    length: int
    truncated: bool = False
    redacted: bool = False
    raw: str | None = None
    raw_base64: str | None = None

    @property
    def line(self) -> bytes:
        """The bytes that were sent, as far as they are kept."""
        if self.raw is not None:
            return self.raw.encode()
        return base64.b64decode(self.raw_base64 or "")

    @property
    def is_masked(self) -> bool:
        """Whether what was masked cannot be given back.

        Of an event at which a redactor failed the worker masks every value, and the letter,
        which is made of that, does not say so.
        """
        return self.redacted or (self.reason == "stage_failed" and self._shows_nothing())

    def _shows_nothing(self) -> bool:
        try:
            event = msgspec.json.decode(self.line)
        except msgspec.DecodeError:
            return False
        rest, is_masked = [event], False
        while rest:
            value = rest.pop()
            if isinstance(value, dict):
                rest += value.values()
            elif isinstance(value, list):
                rest += value
            elif value != _MASK:
                return False
            else:
                is_masked = True
        return is_masked


class StoredLetter(NamedTuple):
    """A dead letter and what it is called."""

    identity: Identity
    letter: DeadLetter


class DeadLetters:
    """The dead letters of a data directory, as many as there were when it was opened.

    What cannot be read is passed over, and `warn` is told in a line.
    """

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._shards = {
            int(match[1]): shard
            for shard in list_shards(directory)
            if (match := _SHARD.fullmatch(shard.name))
        }
        self._ends = {number: _end(shard) for number, shard in self._shards.items()}
        self._decoder = msgspec.json.Decoder(DeadLetter)

    @property
    def ends(self) -> dict[int, int]:
        """For each shard, the sequence number behind the last letter."""
        return dict(self._ends)

    def cut(self, shard: int, end: int) -> None:
        """Leave out the letters of a shard from this sequence number on."""
        self._ends[shard] = min(end, self._ends.get(shard, 0))

    def read(self, *, since_ns: int = 0) -> Iterator[StoredLetter]:
        """Yield all letters by the time of their arrival; `since_ns` passes over older batches."""
        return heapq.merge(
            *(self._read_shard(number, 0, since_ns) for number in self._shards), key=_received
        )

    def find(self, identity: Identity) -> DeadLetter | None:
        """Return one letter, or None where there is none."""
        if not identity.sequence < self._ends.get(identity.shard, 0):
            return None
        for found in self._read_shard(identity.shard, identity.sequence, 0):
            if found.identity.sequence >= identity.sequence:
                return found.letter if found.identity == identity else None
        return None

    def _read_shard(self, number: int, start: int, since_ns: int) -> Iterator[StoredLetter]:
        shard, end = self._shards[number], self._ends[number]
        reader = JournalReader(str(shard), start=start or "oldest")
        while True:
            try:
                batch = reader.next()
            except RuntimeError as damage:  # the reader goes on behind it
                self._warn(str(damage))
                continue
            if batch is None or batch.first_sequence >= end:
                return
            if batch.missing and not start:
                self._warn(f"{shard}: {batch.missing:,} dead letters are gone")
            if batch.last_received_ns < since_ns:
                continue
            for sequence, line in enumerate(batch.lines.splitlines(), batch.first_sequence):
                identity = Identity(number, sequence)
                if sequence < end and (letter := self._decode(identity, line)):
                    yield StoredLetter(identity, letter)

    def _decode(self, identity: Identity, line: bytes) -> DeadLetter | None:
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as error:
            self._warn(f"{identity}: is no dead letter: {error}")
            return None


def _received(stored: StoredLetter) -> str:
    return stored.letter.received_at


def _end(shard: Path) -> int:
    """Return the sequence number behind the last batch that can be read."""
    reader, end = JournalReader(str(shard), last=1), 0
    while True:
        try:
            batch = reader.next()
        except RuntimeError:  # told when it is read
            continue
        if batch is None:
            return end
        end = batch.first_sequence + batch.count
