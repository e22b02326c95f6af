"""fapilog beside us: its own worker, in a process of its own, on the generator's events."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench import generator, settings
from bench.peers.grounds import GROUNDS
from bench.runs import DEADLINE_SECONDS
from bench.server import FailedRunError

CONFIGURATION = settings.configuration(GROUNDS["json"].pipeline)
"""Whose stages it runs: those of our own server on the same ground."""
ENRICHERS = ("runtime_info",)
"""In place of `origin`, which fapilog does not have."""
_DIFFERENT_EVENTS = 1000
_MASKED = '"password":"***"'


class Flushed(msgspec.Struct, frozen=True):
    """What fapilog's process says about one run."""

    events: int
    written: int
    last: str
    """The last event that it wrote, as written."""
    seconds: float
    cpu_seconds: float


def measure(events: int) -> Flushed:
    """Measure once; raise FailedRunError if it did not do the work."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(generator.events(_DIFFERENT_EVENTS))
        file.flush()
        command = [sys.executable, "-m", "bench.peers.fapilog_process", f"--events={events}"]
        command += [f"--configuration={os.fspath(CONFIGURATION)}", file.name]
        command += ["--enrichers", *ENRICHERS]
        root = Path(__file__).parents[2]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, cwd=root, timeout=DEADLINE_SECONDS
        )
    flushed = msgspec.json.decode(done.stdout, type=Flushed)
    check(flushed)
    return flushed


def check(flushed: Flushed) -> None:
    """Fail unless every event was written, and the last is masked."""
    if flushed.written != flushed.events or _MASKED not in flushed.last:
        raise FailedRunError(
            f"fapilog was given {flushed.events} events and wrote {flushed.written},"
            f" the last as {flushed.last}"
        )
