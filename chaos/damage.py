"""Does to the files of a server that is gone what power cuts and ageing disks do."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random

from chaos.faulty_disk import Remains
from ingest.contract import JOURNAL_DIRECTORY


def cut_power(data_dir: Path, remains: Mapping[int, Remains], chance: Random) -> None:
    """Leave of every file of a journal what was synced, and of the rest what a disk may leave.

    A rename is not undone, and neither is a deletion.
    """
    for file in sorted(data_dir.glob("*/shard-*/*")):
        status = file.stat()
        left = remains.get(status.st_ino)
        if left is None:
            continue
        if not left.is_named and chance.choice((True, False)):
            file.unlink()
        elif left.synced_bytes < status.st_size:
            _spoil(file, chance.randint(left.synced_bytes, status.st_size), chance)


def _spoil(path: Path, begin: int, chance: Random) -> None:
    """From a byte on, have a file end, or hold nothing that was written, nor any line end."""
    length = path.stat().st_size - begin
    with path.open("r+b") as file:
        file.seek(begin)
        match chance.choice(("ends", "zeros", "garbage")):
            case "ends":
                file.truncate()
            case "zeros":
                file.write(bytes(length))
            case _:
                file.write(chance.randbytes(length).replace(b"\n", b"\0"))


def copy_newest(data_dir: Path, to: Path, most_bytes: int) -> list[Path]:
    """Copy the newest segments of every shard of events, with all seals; return the new shards.

    Without empty ones: they only keep numbers, also those of a damaged tail that is cut off.
    """
    shards = []
    for shard in sorted((data_dir / JOURNAL_DIRECTORY).glob("shard-*")):
        copy = to / JOURNAL_DIRECTORY / shard.name
        copy.mkdir(parents=True)
        for seals in shard.glob("seals.ndjson"):
            shutil.copy(seals, copy)
        left = most_bytes
        for segment in sorted(shard.glob("*.ndjson.zst"), reverse=True):
            left -= segment.stat().st_size
            if left < 0:
                break
            if segment.stat().st_size == 0:
                continue
            shutil.copy(segment, copy)
        shards.append(copy)
    return shards


def flip_bits(segment: Path, count: int, chance: Random) -> list[int]:
    """Flip a bit in each of some bytes; return where these are."""
    positions = chance.sample(range(segment.stat().st_size), count)
    with segment.open("r+b") as file:
        for position in positions:
            file.seek(position)
            flipped = file.read(1)[0] ^ 1 << chance.randrange(8)
            file.seek(position)
            file.write(bytes([flipped]))
    return positions
