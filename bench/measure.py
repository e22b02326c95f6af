"""One case: a number of TCP connections, full speed several times, then latency at half of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from bench import generator, latency, processes
from bench.latency import Latency, Sampler
from bench.server import Server

_WARM_UP_EVENTS = 200_000
_DEADLINE_SECONDS = 120.0


class Run(msgspec.Struct, frozen=True):
    """One fresh server at full speed."""

    events_per_second: float
    cpu_seconds_per_million: float
    generator_cpu_seconds_per_million: float
    peak_resident_bytes: dict[str, int]


class Summary(msgspec.Struct, frozen=True):
    """A figure over all runs of a case."""

    median: float
    minimum: float
    maximum: float


class Case(msgspec.Struct, frozen=True):
    """What one number of connections came to."""

    connections: int
    events: int
    runs: list[Run]
    events_per_second: Summary
    cpu_seconds_per_million: Summary
    peak_resident_bytes: Summary
    latency_rate: float
    latency_ms: Latency


class Plan(msgspec.Struct, frozen=True):
    """What to measure and how often."""

    events: int
    runs: int
    latency_seconds: float
    workers: int | None
    data_dir: Path


def measure(plan: Plan, connections: int) -> Case:
    """Measure one case; raise FailedRunError if any run loses count of an event."""
    runs = [_full_speed(plan, connections) for _ in range(plan.runs)]
    speed = _summarise([run.events_per_second for run in runs])
    rate = speed.median / 2
    return Case(
        connections=connections,
        events=plan.events,
        runs=runs,
        events_per_second=speed,
        cpu_seconds_per_million=_summarise([run.cpu_seconds_per_million for run in runs]),
        peak_resident_bytes=_summarise([sum(run.peak_resident_bytes.values()) for run in runs]),
        latency_rate=rate,
        latency_ms=_half_load(plan, connections, rate),
    )


def _full_speed(plan: Plan, connections: int) -> Run:
    with _warm_server(plan, connections) as server:
        cpu_before = processes.cpu_seconds(server.pids)
        sent = generator.send(server.address, connections=connections, events=plan.events)
        durable_ns = server.await_durable(_WARM_UP_EVENTS + plan.events, _DEADLINE_SECONDS)
        cpu = processes.cpu_seconds(server.pids) - cpu_before
        server.check_ledger(_WARM_UP_EVENTS + plan.events)
        millions = plan.events / 1e6
        return Run(
            events_per_second=plan.events * 1e9 / (durable_ns - sent.started_ns),
            cpu_seconds_per_million=cpu / millions,
            generator_cpu_seconds_per_million=sent.cpu_seconds / millions,
            peak_resident_bytes={
                f"{processes.role(pid)} {pid}": processes.peak_resident_bytes(pid)
                for pid in server.pids
            },
        )


def _half_load(plan: Plan, connections: int, rate: float) -> Latency:
    events = int(rate * plan.latency_seconds)
    with _warm_server(plan, connections) as server, tempfile.NamedTemporaryFile() as timeline:
        file = Path(timeline.name)
        with Sampler(server.durable_events) as durable:
            generator.send(
                server.address, connections=connections, events=events, rate=rate, timeline=file
            )
            server.await_durable(_WARM_UP_EVENTS + events, _DEADLINE_SECONDS)
        server.check_ledger(_WARM_UP_EVENTS + events)
        return latency.distance(
            latency.read_curve(file), durable.curve, already_durable=_WARM_UP_EVENTS
        )


@contextmanager
def _warm_server(plan: Plan, connections: int) -> Iterator[Server]:
    """Give a fresh server that has already taken in some events; its data are removed after."""
    with tempfile.TemporaryDirectory(dir=plan.data_dir, prefix="bench-") as directory:
        root = Path(directory)
        with Server(root / "data", root / "log", plan.workers) as server:
            generator.send(server.address, connections=connections, events=_WARM_UP_EVENTS)
            server.await_durable(_WARM_UP_EVENTS, _DEADLINE_SECONDS)
            yield server


def _summarise(values: list[float]) -> Summary:
    return Summary(median=median(values), minimum=min(values), maximum=max(values))
