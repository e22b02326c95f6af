"""Numbers of TCP connections without a pipeline: full speed several times, then latency at half.

Without a pipeline, so that what is measured is intake and journal, as in the first runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bench import latency, runs
from bench.distribution import Distribution
from bench.figures import Summary, summarise
from bench.latency import Sampler
from bench.runs import (
    DEADLINE_SECONDS,
    Load,
    Plan,
    Run,
    check_ledger,
    check_unbroken,
    sending,
    warm_server,
)

PIPELINE = "none"


class Case(msgspec.Struct, frozen=True):
    """What one number of connections came to."""

    connections: int
    events: int
    runs: list[Run]
    events_per_second: Summary
    cpu_seconds_per_million: Summary
    peak_resident_bytes: Summary
    latency_rate: float
    latency_ms: Distribution


def measure(plan: Plan, connections: int) -> Case:
    """Measure one case; raise FailedRunError if any run loses count of an event."""
    load = Load(pipeline=PIPELINE, connections=connections, events=plan.events)
    measured = [runs.measure(plan, load) for _ in range(plan.runs)]
    speed = summarise([run.events_per_second for run in measured])
    rate = speed.median / 2
    return Case(
        connections=connections,
        events=plan.events,
        runs=measured,
        events_per_second=speed,
        cpu_seconds_per_million=summarise([run.cpu_seconds_per_million for run in measured]),
        peak_resident_bytes=summarise([sum(run.peak_resident_bytes.values()) for run in measured]),
        latency_rate=rate,
        latency_ms=_half_load(plan, load, rate),
    )


def _half_load(plan: Plan, load: Load, rate: float) -> Distribution:
    events = int(rate * plan.latency_seconds)
    with warm_server(plan, load) as server, tempfile.NamedTemporaryFile() as timeline:
        file = Path(timeline.name)
        paced = msgspec.structs.replace(load, rate=rate)
        with (
            Sampler(server.settled_events) as settled,
            sending(server, paced, events, timeline=file) as generator,
        ):
            check_unbroken(generator.finish())
            server.await_settled(load.warm_up_events + events, DEADLINE_SECONDS)
        check_ledger(server, load, events)
        return latency.distance(
            latency.read_curve(file), settled.curve, already_durable=load.warm_up_events
        )
