"""Does to the files of a server that is gone what power cuts and ageing disks do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

from chaos.faulty_disk import Remains

_SEGMENTS = "*/shard-*/*.ndjson.zst"


def cut_power(data_dir: Path, remains: Mapping[int, Remains], chance: Random) -> None:
    """Leave of every segment what was synced, and of the rest what a disk may leave.

    A rename is not undone, and neither is a deletion.
    """
    for segment in sorted(data_dir.glob(_SEGMENTS)):
        status = segment.stat()
        left = remains.get(status.st_ino)
        if left is None:
            continue
        if not left.is_named and chance.random() < 0.5:
            segment.unlink()
        elif left.synced_bytes < status.st_size:
            _spoil(segment, chance.randint(left.synced_bytes, status.st_size), chance)


def _spoil(segment: Path, begin: int, chance: Random) -> None:
    """From a byte on, have a file end, or hold nothing that was written, nor any line end."""
    length = segment.stat().st_size - begin
    with segment.open("r+b") as file:
        file.seek(begin)
        match chance.choice(("ends", "zeros", "garbage")):
            case "ends":
                file.truncate()
            case "zeros":
                file.write(bytes(length))
            case _:
                file.write(chance.randbytes(length).replace(b"\n", b"\0"))


def flip_bits(segment: Path, count: int, chance: Random) -> list[int]:
    """Flip bits of different bytes; return where these are, in order."""
    positions = (
        sorted(chance.sample(range(size), count)) if (size := segment.stat().st_size) else []
    )
    with segment.open("r+b") as file:
        for position in positions:
            file.seek(position)
            byte = file.read(1)[0] ^ 1 << chance.randrange(8)
            file.seek(position)
            file.write(bytes([byte]))
    return positions
