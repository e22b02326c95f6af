"""Where shards lie on the disk: `<data_dir>/<journal>/shard-NNNN/*.ndjson.zst`."""

from __future__ import annotations

from pathlib import Path

SEGMENT_PATTERN = "*.ndjson.zst"
_SHARD_PATTERN = "shard-*"


def list_shards(journal: Path) -> list[Path]:
    """Return the shards of one journal, in order; none where the journal does not exist yet."""
    return sorted(path for path in journal.glob(_SHARD_PATTERN) if path.is_dir())


def find_shards(directory: Path) -> list[Path]:
    """Return every shard at or below a directory, whatever of the layout stands above it."""
    return sorted({segment.parent for segment in directory.rglob(SEGMENT_PATTERN)})
