"""Latency at half of the rate that a case came to, of every event."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bench import latency
from bench.distribution import Distribution
from bench.latency import Sampler
from bench.runs import (
    Load,
    Plan,
    await_settled,
    check_ledger,
    check_unbroken,
    sending,
    warm_server,
)


def measure(plan: Plan, load: Load, rate: float) -> Distribution:
    """Send at this rate for a while; raise FailedRunError as a run at full speed does."""
    events = load.whole_cycles(rate * plan.latency_seconds)
    paced = msgspec.structs.replace(load, rate=rate, events=events)
    with warm_server(plan, paced) as server, tempfile.NamedTemporaryFile() as timeline:
        file = Path(timeline.name)

        def done() -> int:
            dropped = server.kernel_dropped() if load.transport == "udp" else 0
            return server.settled_events() + dropped

        with (
            Sampler(done) as settled,
            sending(server, paced, events, timeline=file) as generator,
        ):
            sent = check_unbroken(generator.finish())
            _, kernel_dropped = await_settled(server, paced, sent)
        check_ledger(server, paced, events, kernel_dropped)
        return latency.distance(
            latency.read_curve(file), settled.curve, already_durable=load.warm_up_events
        )
