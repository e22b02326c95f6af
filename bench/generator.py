"""Runs the native load generator of bench/loadgen."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import msgspec

_CRATE = Path(__file__).parent / "loadgen"


class Sent(msgspec.Struct, frozen=True):
    """What the generator says about one run; the times are of the monotonic clock."""

    events: int
    bytes: int
    seconds: float
    cpu_seconds: float
    started_ns: int
    ended_ns: int
    per_connection: list[int]


def program() -> Path:
    """Return where `make bench` has cargo leave the generator."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--manifest-path", "Cargo.toml"],  # noqa: S607
        cwd=_CRATE,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return Path(json.loads(metadata)["target_directory"]) / "release" / "loadgen"


def send(
    address: str,
    *,
    connections: int,
    events: int,
    rate: float | None = None,
    timeline: Path | None = None,
) -> Sent:
    """Send events over TCP and return when the kernel has them all."""
    options = [f"--address={address}", f"--connections={connections}", f"--events={events}"]
    if rate is not None:
        options.append(f"--rate={rate}")
    if timeline is not None:
        options.append(f"--timeline={os.fspath(timeline)}")
    done = subprocess.run([program(), "send", *options], check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Sent)
