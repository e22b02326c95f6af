"""Runs the native load generator of bench/loadgen."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

_CONNECT_SECONDS = 10.0
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


def events(count: int) -> bytes:
    """Return the first events of a connection, as lines: what a server would have received."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(_CONNECT_SECONDS)
        received = pool.submit(_receive, listener)
        send("{}:{}".format(*listener.getsockname()), connections=1, events=count)
        return received.result()


def _receive(listener: socket.socket) -> bytes:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        return stream.read()
