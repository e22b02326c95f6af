"""How far each shard of a journal goes, by the documented format alone: headers and checksums.

It shares no code with the server's reader. It hops from metadata frame to metadata frame of the
last segments, so that asking between a kill and the next start costs next to nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path

_MAGIC = 0x184D2A5B
_SIGNATURE = b"journal\x01"
_FIXED = struct.Struct("<II8sQQQQQQ")
"""Magic, length behind it, signature, first sequence, events, two times, mark, bytes of data."""
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
    end, size = None, segment.stat().st_size
    with segment.open("rb") as file:
        offset = 0
        while len(header := file.read(_FIXED.size)) == _FIXED.size:
            magic, length, signature, first, count, _, _, _, data = _FIXED.unpack(header)
            offset += _PREFIX_BYTES + length + data
            if (magic, signature) != (_MAGIC, _SIGNATURE) or offset > size:
                break
            end = first + count
            file.seek(offset)
    if end is None and size == 0:
        return int(segment.name.partition(".")[0])
    return end
