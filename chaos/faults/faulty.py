"""What the faults of a disk have in common that fails on command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chaos.fault import Fault
from chaos.faulty_disk import Call, FaultyDisk, Point, When

SMALL_SEGMENTS = {"INGEST_JOURNAL__SEGMENT_BYTES": "1MiB"}

BEFORE_SYNC = (Point(Call.FDATASYNC),)
AFTER_SYNC = (Point(Call.FDATASYNC, When.AFTER),)
WITHIN_WRITE = Point(Call.WRITE, When.WITHIN)
ROTATION = (
    Point(Call.CREATE),
    Point(Call.CREATE, When.AFTER),
    Point(Call.FSYNC, pattern="*/shard-????"),
    Point(Call.FSYNC, When.AFTER, pattern="*/shard-????"),
)
RECOVERY = (
    Point(Call.TRUNCATE),
    Point(Call.TRUNCATE, When.AFTER),
    Point(Call.FSYNC),
    Point(Call.FSYNC, When.AFTER),
)
"""A running server does none of that, so it is a recovery that does."""
SEALING = (
    Point(Call.WRITE, When.WITHIN, "*/seals.ndjson"),
    Point(Call.WRITE, When.AFTER, "*/seals.ndjson"),
    Point(Call.FSYNC, When.AFTER, "*/seals.ndjson"),
)
RECOMPRESSION = (
    Point(Call.WRITE, When.WITHIN, "*.ndjson.zst.draft"),
    Point(Call.FSYNC, When.BEFORE, "*.ndjson.zst.draft"),
    Point(Call.RENAME),
    Point(Call.RENAME, When.AFTER),
)
RETENTION = (Point(Call.UNLINK), Point(Call.UNLINK, When.AFTER))


class OnFaultyDisk(Fault):
    """A fault that strikes calls on files of the data directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.disk = FaultyDisk(directory / "data")

    def environment(self) -> Mapping[str, str]:
        """Preload the disk, and have segments small, so that they are closed and packed often."""
        return {**self.disk.environment, **SMALL_SEGMENTS, "INGEST_JOURNAL__RECOMPRESS": "idle"}

    def close(self) -> None:
        """Give the disk back."""
        self.disk.close()
