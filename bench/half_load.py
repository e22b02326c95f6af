"""Latency at half of the rate that a case came to, of every event that is stored."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bench import latency
from bench.distribution import Distribution
from bench.latency import Curve, Sampler
from bench.runs import (
    Load,
    Plan,
    await_settled,
    check_ledger,
    finish,
    sending,
    warm_server,
)


def measure(plan: Plan, load: Load, rate: float) -> Distribution:
    """Send at this rate for a while; raise FailedRunError as a run at full speed does."""
    events = load.whole_cycles(rate * plan.latency_seconds)
    paced = msgspec.structs.replace(load, rate=rate, events=events)
    with warm_server(plan, paced) as server, tempfile.NamedTemporaryFile() as timeline:
        file = Path(timeline.name)

        def durable() -> int:
            dropped = server.kernel_dropped() if load.transport == "udp" else 0
            return server.journaled_events() + _kept(paced, dropped)

        with (
            Sampler(durable) as journaled,
            sending(server, paced, events, timeline=file) as generator,
        ):
            sent = finish(generator, events / rate)
            _, kernel_dropped = await_settled(server, paced, sent)
        check_ledger(server, paced, events, kernel_dropped)
        return of_stored(paced, latency.read_curve(file), journaled.curve)


def of_stored(load: Load, sent: Curve, durable: Curve) -> Distribution:
    """Return the latency of the events that the pipeline keeps, those of the warm-up not counted.

    `sent` counts all events behind the warm-up, `durable` what is stored with the warm-up.
    """
    before = _kept(load, load.warm_up_events)
    # How many of the datagrams that the kernel dropped were to be kept, nobody knows exactly.
    most = durable[-1][1] - before
    kept = [(time_ns, min(_kept(load, events), most)) for time_ns, events in sent]
    return latency.distance(kept, durable, already_durable=before)


def _kept(load: Load, events: int) -> int:
    return events - load.filtered(events)
