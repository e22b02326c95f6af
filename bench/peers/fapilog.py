"""fapilog beside us: its own worker, in a process of its own, on the generator's events."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench import generator
from bench.runs import DEBUG_ONE_IN
from bench.server import FailedRunError
from bench.settings import configuration

PIPELINE = "reference"
"""The configuration whose stages it runs."""
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


class Variant(msgspec.Struct, frozen=True):
    """fapilog with some enrichers; it has none that does what `origin` does."""

    name: str
    enrichers: tuple[str, ...]


VARIANTS = (
    Variant("fapilog", ("runtime_info",)),
    Variant("fapilog, no enricher", ()),
)


class FapilogRun(msgspec.Struct, frozen=True):
    """One fresh process of fapilog; rates and costs are of events received."""

    events_per_second: float
    cpu_seconds_per_million: float


def measure(variant: Variant, events: int) -> FapilogRun:
    """Measure once; raise FailedRunError if it did not do the work."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(generator.events(_DIFFERENT_EVENTS))
        file.flush()
        command = [sys.executable, "-m", "bench.peers.fapilog_process", f"--events={events}"]
        command += [f"--configuration={os.fspath(configuration(PIPELINE))}", file.name]
        command += ["--enrichers", *variant.enrichers]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=root)
    flushed = msgspec.json.decode(done.stdout, type=Flushed)
    check(flushed)
    return FapilogRun(
        events_per_second=flushed.events / flushed.seconds,
        cpu_seconds_per_million=flushed.cpu_seconds * 1e6 / flushed.events,
    )


def check(flushed: Flushed) -> None:
    """Fail unless exactly DEBUG was dropped and what was written is masked."""
    expected = flushed.events - flushed.events // DEBUG_ONE_IN
    if flushed.written != expected or _MASKED not in flushed.last:
        raise FailedRunError(
            f"fapilog was given {flushed.events} events and wrote {flushed.written}"
            f" instead of {expected}, the last as {flushed.last}"
        )
