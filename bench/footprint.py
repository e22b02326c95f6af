"""What a server takes of the machine over time: memory, descriptors, and whether they grow.

Memory is what would be free without the server: the proportional part of every page that processes
share, and the shared memory whole, once, whoever has it mapped at the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec

from ingest.journal import SEGMENT_SUFFIX

_BLOCK_BYTES = 512
_MEMORY_FILE = "/memfd:"


class Footprint(msgspec.Struct, frozen=True):
    """What all processes of a server took at one moment."""

    seconds: float
    """Since the first one."""
    memory_bytes: int
    descriptors: int
    """Open ones, over all processes, without those of segments: a journal that has not been written
    lately has none. A table that two processes share counts twice."""
    processes: int


def look(pids: Iterable[int], seconds: float) -> Footprint:
    """Look at the processes; those that have ended take nothing."""
    private, descriptors, count = 0, 0, 0
    shared: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            private += _private_bytes(pid)
            opened = _descriptors(pid, shared)
            descriptors += opened
            count += 1
    return Footprint(seconds, private + sum(shared.values()), descriptors, count)


def growth(values: Sequence[float]) -> float:
    """Return by which share the median of the last fifth exceeds that of the second.

    The first fifth is not looked at: buffers grow to their size there.
    """
    fifth = len(values) // 5
    if not fifth:
        raise ValueError(f"{len(values)} samples say nothing about growth")
    return median(values[-fifth:]) / median(values[fifth : 2 * fifth]) - 1


def _private_bytes(pid: int) -> int:
    """Return the proportional part of the memory of a process that is no shared memory."""
    kib = {"Pss:": 0, "Pss_Shmem:": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, *value = line.split()
        if name in kib:
            kib[name] = int(value[0])
    return (kib["Pss:"] - kib["Pss_Shmem:"]) * 1024


def _descriptors(pid: int, shared: dict[tuple[int, int], int]) -> int:
    """Count the descriptors of a process, and note how large the shared memory among them is."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            name = str(entry.readlink())
            count += not name.endswith(SEGMENT_SUFFIX)
            if name.startswith(_MEMORY_FILE):
                found = entry.stat()
                shared[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK_BYTES
    return count
