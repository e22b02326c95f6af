"""How long a request waits until its events are durable and it may be acknowledged.

For protocols with an answer: `Durability.store`, from a body of lines to the word that it is on
the disk. Idle, and beside TCP senders at half of the rate that the same worker takes at most.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bench import distribution, runs, settings
from bench.distribution import Distribution
from bench.figures import summarise
from bench.generator import Sending
from bench.runs import Plan
from bench.server import FailedRunError, read_settled
from ingest._native import Region
from ingest.counters import read_status

PIPELINE = "none"
CONNECTIONS = 4
KIB = 1024
CASES = [
    *((320, concurrency) for concurrency in (1, 16, 256, 2048)),
    *((16 * KIB, concurrency) for concurrency in (1, 16, 256)),
    *((256 * KIB, concurrency) for concurrency in (1, 16)),
]
"""Bytes of a body, and clients that each send the next request when the last was answered."""

_BODIES = 64
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.001
_WARM_UP_SECONDS = 0.5
_TITLE = """
## Acknowledged means durable

One worker; milliseconds from submitting a body to the word that it is durable, pipeline
`{pipeline}`. Each client sends the next request when the last was answered. Idle, and beside
{connections} TCP connections that send {rate:,.0f} events/s: half of the {maximum:,.0f} that the
same worker took at most in this run.

### Idle

{idle}

### Beside TCP at half load

{beside}
"""


class Asked(msgspec.Struct, frozen=True):
    """What the worker is asked to submit."""

    body_bytes: int
    concurrency: int
    seconds: float
    bodies: int = _BODIES
    """So many different ones."""


class Answered(msgspec.Struct, frozen=True):
    """What came of it."""

    requests: int
    events: int
    seconds: float
    milliseconds: Distribution
    """From submitting to acknowledging."""


class Started(msgspec.Struct, frozen=True):
    """What the worker says first."""

    address: str
    region: int
    """The descriptor of its region, in its own process."""


class Case(msgspec.Struct, frozen=True):
    """One size of bodies and one number of clients."""

    body_bytes: int
    concurrency: int
    idle: Answered
    beside: Answered

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.body_bytes:,} bytes by {self.concurrency:,}"


class Acknowledging(msgspec.Struct, frozen=True):
    """All cases."""

    maximum_rates: list[float]
    """Events per second over TCP, run by run."""
    rate: float
    """Events per second over TCP beside the requests."""
    cases: list[Case]

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            pipeline=PIPELINE,
            connections=CONNECTIONS,
            rate=self.rate,
            maximum=summarise(self.maximum_rates).median,
            idle=_tables([(case, case.idle) for case in self.cases]),
            beside=_tables([(case, case.beside) for case in self.cases]),
        )


class _Worker:
    """The process with the worker; leaving fails if it did not end well."""

    def __init__(self, configuration: Path, data_dir: Path) -> None:
        command = [sys.executable, "-m", "bench.acknowledging_process"]
        command += [f"--configuration={configuration}", f"--data-dir={data_dir}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
        )

    def __enter__(self) -> Self:
        """Wait until it takes events."""
        started = msgspec.json.decode(self._read(), type=Started)
        self.address = started.address
        path = f"/proc/{self._process.pid}/fd/{started.region}"
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.region = Region.attach(descriptor)
        os.close(descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Have it end."""
        try:
            self._process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        if self._process.returncode and error is None:
            raise FailedRunError(f"the worker ended with {self._process.returncode}")

    def ask(self, asked: Asked) -> Answered:
        """Have it submit; wait until all is answered."""
        if self._process.stdin is None:
            raise ValueError("it was started without a pipe")
        self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._read(), type=Answered)

    def await_settled(self, events: int) -> int:
        """Wait until so many events in all are settled; return when that was, in monotonic ns."""
        deadline = time.monotonic() + runs.DEADLINE_SECONDS
        while read_settled(self.region) < events:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise FailedRunError(f"never settled: {read_status(self.region).ledger}")
            time.sleep(_POLL_SECONDS)
        return time.monotonic_ns()

    def _read(self) -> bytes:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise FailedRunError("the worker has ended")
        return line


def measure(plan: Plan, tell: Callable[[str], None]) -> Acknowledging:
    """Measure every case; raise FailedRunError if the ledger loses count of an event."""
    with runs.server_directory(plan) as directory:
        configuration = settings.write(directory, PIPELINE, {"tcp": settings.ANY_PORT})
        with _Worker(configuration, directory / "data") as worker:
            found = _measure(plan, worker, tell)
            ledger = read_status(worker.region).ledger
            if ledger.journaled != ledger.received or not ledger.closed:
                raise FailedRunError(f"not everything was stored: {ledger}")
            return found


def _measure(plan: Plan, worker: _Worker, tell: Callable[[str], None]) -> Acknowledging:
    _send(worker, plan.events // 10, None)
    rates = [_send(worker, plan.events, None) for _ in range(plan.runs)]
    found = Acknowledging(rates, summarise(rates).median / 2, [])
    for body_bytes, concurrency in CASES:
        worker.ask(Asked(body_bytes, concurrency, _WARM_UP_SECONDS))
        asked = Asked(body_bytes, concurrency, plan.latency_seconds)
        idle = worker.ask(asked)
        beside = _ask_beside(worker, asked, found.rate)
        case = Case(body_bytes, concurrency, idle, beside)
        found.cases.append(case)
        tell(
            f"{case.name}: p50 {idle.milliseconds.p50:.1f}, p99 {idle.milliseconds.p99:.1f} ms,"
            f" beside TCP p50 {beside.milliseconds.p50:.1f}, p99 {beside.milliseconds.p99:.1f} ms"
        )
    return found


def _send(worker: _Worker, events: int, rate: float | None) -> float:
    """Send so many events over TCP; return how many per second became durable."""
    before = read_settled(worker.region)
    with Sending(
        "tcp", worker.address, connections=CONNECTIONS, events=events, rate=rate
    ) as generator:
        sent = runs.finish(generator, events / rate if rate else 0.0)
    settled_ns = worker.await_settled(before + events)
    return events * 1e9 / (settled_ns - sent.started_ns)


def _ask_beside(worker: _Worker, asked: Asked, rate: float) -> Answered:
    """Ask while TCP senders are at work, from before the first request to behind the last."""
    before = read_settled(worker.region)
    # Twice the time: senders with a rate end by themselves.
    events = int(rate * 2 * (asked.seconds + _WARM_UP_SECONDS))
    with Sending(
        "tcp", worker.address, connections=CONNECTIONS, events=events, rate=rate
    ) as generator:
        while read_settled(worker.region) == before:
            time.sleep(_POLL_SECONDS)
        answered = worker.ask(asked)
        if not generator.is_at_work:
            raise FailedRunError("the senders were done before the last request")
        runs.finish(generator)
    worker.await_settled(before + events + answered.events)
    return answered


def _tables(found: list[tuple[Case, Answered]]) -> str:
    """Return what requests took of each case, and how they are spread."""
    rows = [
        (f"{case.name}, {answered.requests / answered.seconds:,.0f} a second", answered)
        for case, answered in found
    ]
    times = distribution.percentiles(
        "body by clients, requests", [(row, each.milliseconds) for row, each in rows]
    )
    shares = distribution.histogram([(case.name, each.milliseconds) for case, each in found])
    return f"{times}\n\n{shares}"
