"""What the numbers were measured on. A number without its machine says nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import msgspec

_PROBE_BYTES = 256 * 1024 * 1024
_PROBE_SYNCS = 50


class Disk(msgspec.Struct, frozen=True):
    """Where the journal was written, and what that disk can do without us."""

    filesystem: str
    source: str
    sequential_mb_per_second: float
    sync_p50_ms: float


class Machine(msgspec.Struct, frozen=True):
    """The facts that a reader needs to compare."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    governor: str | None
    python: str
    rustc: str
    commit: str
    disk: Disk


def describe(data_dir: Path) -> Machine:
    """Look at this machine and probe the disk under `data_dir`."""
    return Machine(
        cpu=_first_value("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int(_first_value("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        kernel=platform.release(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        python=platform.python_version(),
        rustc=_output("rustc", "--version"),
        commit=_output("git", "describe", "--always", "--dirty", "--abbrev=12"),
        disk=_describe_disk(data_dir),
    )


def _describe_disk(directory: Path) -> Disk:
    source, filesystem = _output(
        "findmnt", "--noheadings", "--output=SOURCE,FSTYPE", f"--target={directory}"
    ).split()
    probe = directory / "probe"
    chunk = os.urandom(1024 * 1024)
    try:
        with probe.open("wb", buffering=0) as file:
            started = time.perf_counter()
            for _ in range(_PROBE_BYTES // len(chunk)):
                file.write(chunk)
            os.fdatasync(file)
            seconds = time.perf_counter() - started
            syncs = sorted(_time_sync(file.fileno()) for _ in range(_PROBE_SYNCS))
    finally:
        probe.unlink(missing_ok=True)
    return Disk(
        filesystem=filesystem,
        source=source,
        sequential_mb_per_second=round(_PROBE_BYTES / 1e6 / seconds, 1),
        sync_p50_ms=round(syncs[_PROBE_SYNCS // 2] * 1000, 2),
    )


def _time_sync(descriptor: int) -> float:
    os.write(descriptor, b"x" * 4096)
    started = time.perf_counter()
    os.fdatasync(descriptor)
    return time.perf_counter() - started


def _first_value(file: str, key: str) -> str:
    for line in Path(file).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def _read(file: str) -> str | None:
    path = Path(file)
    return path.read_text().strip() if path.exists() else None


def _output(program: str, *arguments: str) -> str:
    found = shutil.which(program)
    if found is None:
        return "unknown"
    done = subprocess.run([found, *arguments], check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
