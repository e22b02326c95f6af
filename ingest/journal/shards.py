"""Where shards lie on the disk: `<data_dir>/<journal>/shard-NNNN/*.ndjson.zst`."""

from __future__ import annotations

import os
from pathlib import Path

SEGMENT_SUFFIX = ".ndjson.zst"
SEALS_FILE = "seals.ndjson"
_SHARD = "shard-"


def list_shards(journal: Path) -> list[Path]:
    """Return the shards of one journal, in order; none where the journal does not exist yet."""
    try:
        with os.scandir(journal) as entries:
            return sorted(
                Path(entry) for entry in entries if entry.name.startswith(_SHARD) and entry.is_dir()
            )
    except FileNotFoundError:
        return []


def find_shards(directory: Path) -> list[Path]:
    """Return every shard at or below a directory, whatever of the layout stands above it."""
    return sorted(
        Path(at)
        for at, _, names in os.walk(directory, onerror=_refuse)
        if any(name.endswith(SEGMENT_SUFFIX) or name == SEALS_FILE for name in names)
    )


def _refuse(error: OSError) -> None:
    raise error  # a directory that may not be read is not an empty one
