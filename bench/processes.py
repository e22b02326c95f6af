"""What the processes of a server have cost so far, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
TICK_SECONDS = 1 / _TICKS_PER_SECOND
"""How finely CPU time is counted."""

# Fields of /proc/PID/stat after the name, which may itself hold spaces and parentheses.
_STATE, _PARENT, _USER, _SYSTEM = 0, 1, 11, 12


def family(supervisor: int) -> list[int]:
    """Return the process ids of a supervisor and its children."""
    return [supervisor, *(pid for pid in _running() if _fields(pid)[_PARENT] == str(supervisor))]


def state(pid: int) -> str:
    """Return the letter for what a process does now: `T` is stopped, `Z` or `X` has ended."""
    return _fields(pid)[_STATE]


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time of the processes with all their threads, user and system."""
    fields = [_fields(pid) for pid in pids]
    return sum(int(each[_USER]) + int(each[_SYSTEM]) for each in fields) / _TICKS_PER_SECOND


def peak_resident_bytes(pid: int) -> int:
    """Return the most memory that a process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} is gone")


def role(pid: int) -> str:
    """Return which role of the server a process plays; of one that has ended, an empty text."""
    try:
        # A holder is a copy of its worker, and has its arguments.
        if Path(f"/proc/{pid}/comm").read_text().strip() == "ingest-holder":
            return "holder"
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if arguments == [b""]:
        return ""
    roles = [each for each in arguments if each.startswith(b"ingest.")]
    return roles[0].removeprefix(b"ingest.").decode() if roles else "supervisor"


def _running() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "stat").exists():
            yield int(entry.name)


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return ["X"] + ["0"] * 20
