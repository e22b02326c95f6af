"""The limits by name, and one run of each."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import runs
from bench.generator import Sending
from bench.limits import build
from bench.runs import DEADLINE_SECONDS, Plan, check_unbroken
from bench.server import FailedRunError

PROCESSES = 2
CONNECTIONS = 4
EVENT_BYTES = 322
"""Of the generator's events, in the middle."""
SYNC_MILLISECONDS = 25
"""As the server's group commit is set."""

_STOP_SECONDS = 60.0


class LimitRun(msgspec.Struct, frozen=True):
    """One run of one program."""

    events: int
    events_per_second: float
    """Until all was received and written."""
    cpu_seconds_per_million: float
    """Of all its processes."""


class _Received(msgspec.Struct, frozen=True):
    lines: int
    invalid: int
    bytes: int
    cpu_seconds: float
    ended_ns: int


class _Copied(msgspec.Struct, frozen=True):
    seconds: float
    cpu_seconds: float


class Limit(msgspec.Struct, frozen=True):
    """Something to measure."""

    name: str
    job: str
    """For people."""
    measure: Callable[[Plan], LimitRun]
    times: int = 1
    """How many times the events of a run it gets: what writes nothing is soon done."""


@contextmanager
def at_work(
    program: Path, mode: str, directory: Path, *, sync: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Give the program that receives, and its address; it is ended if it has not."""
    command = [str(program), mode, str(PROCESSES), str(CONNECTIONS), str(directory)]
    command.append(str(SYNC_MILLISECONDS if sync else 0))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process, f"127.0.0.1:{_first_line(process)}"
        finally:
            process.kill()


def receive(plan: Plan, mode: str, *, sync: bool = False) -> LimitRun:
    """Send the events to the program that receives; raise FailedRunError if it misses any."""
    with runs.server_directory(plan) as directory:
        with at_work(build.limit(), mode, directory, sync=sync) as (process, address):
            with Sending("tcp", address, connections=CONNECTIONS, events=plan.events) as sending:
                sent = check_unbroken(sending.finish(DEADLINE_SECONDS))
            output, _ = process.communicate(timeout=_STOP_SECONDS)
        received = msgspec.json.decode(output, type=_Received)
        expected = 0 if mode == "discard" else sent.events
        if (received.lines, received.invalid, received.bytes) != (expected, 0, sent.bytes):
            raise FailedRunError(f"{sent.events} events of {sent.bytes} bytes: {received}")
        if mode.endswith("write"):
            _check_written(directory, sent.bytes)
    return LimitRun(
        events=sent.events,
        events_per_second=sent.events * 1e9 / (received.ended_ns - sent.started_ns),
        cpu_seconds_per_million=received.cpu_seconds * 1e6 / sent.events,
    )


def copy(plan: Plan, *, sync: bool = False) -> LimitRun:
    """Write as many bytes as the events have from memory to files."""
    size = plan.events * EVENT_BYTES // PROCESSES * PROCESSES
    with runs.server_directory(plan) as directory:
        command = [str(build.copy()), str(PROCESSES), str(size), str(directory)]
        command.append(str(SYNC_MILLISECONDS if sync else 0))
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=DEADLINE_SECONDS)
        copied = msgspec.json.decode(done.stdout, type=_Copied)
        _check_written(directory, size)
    return LimitRun(
        events=plan.events,
        events_per_second=plan.events / copied.seconds,
        cpu_seconds_per_million=copied.cpu_seconds * 1e6 / plan.events,
    )


def _first_line(process: subprocess.Popen[bytes]) -> int:
    if process.stdout is None:
        raise FailedRunError("its output is not read")
    line = process.stdout.readline()
    if not line:
        raise FailedRunError("the program of the limits did not start")
    return int(line)


def _check_written(directory: Path, expected: int) -> None:
    written = sum(file.stat().st_size for file in directory.glob("out-*"))
    if written != expected:
        raise FailedRunError(f"{written} bytes were written instead of {expected}")


LIMITS = {
    limit.name: limit
    for limit in (
        Limit("discard", "receive", lambda plan: receive(plan, "discard"), 4),
        Limit("count", "receive, find the lines (memchr)", lambda plan: receive(plan, "count"), 4),
        Limit(
            "parse",
            "receive, validate each line with simdjson",
            lambda plan: receive(plan, "parse"),
            4,
        ),
        Limit(
            "write",
            "receive, find the lines, copy, write",
            lambda plan: receive(plan, "write"),
        ),
        Limit(
            "parse-write",
            "receive, validate with simdjson, copy, write",
            lambda plan: receive(plan, "parse-write"),
        ),
        Limit(
            "parse-write-sync",
            "the same, synced every 25 ms",
            lambda plan: receive(plan, "parse-write", sync=True),
        ),
        Limit("copy", "memory to file, nothing received", copy),
        Limit(
            "copy-sync",
            "the same, synced every 25 ms",
            lambda plan: copy(plan, sync=True),
        ),
    )
}
PARSING = ("parse", "parse-write", "parse-write-sync")
"""Those that need simdjson."""
