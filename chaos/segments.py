"""How far each shard of a journal goes, by the documented format alone: headers and checksums.

It shares no code with the server's reader. It hops from metadata frame to metadata frame of the
last segments, so that asking between a kill and the next start costs next to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

_MAGIC = 0x184D2A5B
_SIGNATURE = b"journal\x01"
_FIXED = struct.Struct("<II8sQQQQQQQ")
"""Magic, length behind it, signature, first sequence, events, two times, mark, bytes of the data as
stored and of its lines."""
_PREFIX_BYTES = 8


def next_sequences(journal: Path) -> dict[str, int]:
    """Return, for each shard, the sequence number behind the last event stored whole."""
    return {shard.name: _next_sequence(shard) for shard in sorted(journal.glob("shard-*"))}


def _next_sequence(shard: Path) -> int:
    for segment in sorted(shard.glob("*.ndjson.zst"), reverse=True):
        if (found := _last(segment)) is not None:
            return found
    return 0


def _last(segment: Path) -> int | None:
    """Return the number behind the last whole batch of a segment; None if it has none.

    An empty segment keeps numbers: its name says where they go on.
    """
    end = None
    with segment.open("rb") as file:
        for batch in batches(segment):
            file.seek(batch.end - 1)
            if batch.is_plain and file.read(1) != b"\n":
                break  # what a power cut spoils does not end as every line does
            end = batch.first_sequence + batch.events
    if end is None and segment.stat().st_size == 0:
        return int(segment.name.partition(".")[0])
    return end


class Batch(msgspec.Struct, frozen=True):
    """A batch that is in its segment with all its bytes, whatever these are."""

    offset: int
    end: int
    first_sequence: int
    events: int
    is_plain: bool
    """Whether it is stored without compression."""


def batches(segment: Path) -> Iterator[Batch]:
    """Hop from batch to batch until one is cut off or none begins."""
    size = segment.stat().st_size
    with segment.open("rb") as file:
        offset = 0
        while len(header := file.read(_FIXED.size)) == _FIXED.size:
            magic, length, signature, first, events, _, _, _, data, lines = _FIXED.unpack(header)
            end = offset + _PREFIX_BYTES + length + data
            if (magic, signature) != (_MAGIC, _SIGNATURE) or end > size:
                return
            # Without compression the lines stand there as they are, and a frame around them.
            yield Batch(offset, end, first, events, is_plain=data > lines)
            offset = end
            file.seek(offset)
