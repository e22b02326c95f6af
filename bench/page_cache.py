"""Uses memory for files before a run does.

Where the machine is a guest, pages that the host has taken back, or never given, cost whoever
writes first several times the CPU of the write. Files that are written and removed again leave
pages that the host has given: then all programs find the same, whichever comes first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

_PIECE = bytes(4 * 1024 * 1024)
_MOST_BYTES = 2**31


def touch(directory: Path, size: int) -> None:
    """Write so many bytes, up to 2 GiB, to a file in the directory and remove it."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(0, min(size, _MOST_BYTES), len(_PIECE)):
            file.write(_PIECE)
