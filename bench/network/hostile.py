"""A good sender alone and beside clients that behave badly, in pairs, without a pipeline.

The good sender uses TCP on the listener that the bad ones attack, but for those that attack TLS.
What they send is refused, so that whatever is stored is of the good one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from bench import processes, runs
from bench.figures import markdown, ratio, spread, summarise
from bench.generator import Crowd, Deeds, Transport
from bench.network.plan import NetworkPlan
from bench.runs import Load, Plan
from bench.server import FailedRunError, Server

PIPELINE = "none"
CONNECTIONS = 4
RATE = 200_000.0
KINDS: dict[str, Transport] = {
    "slowloris": "tcp",
    "garbage": "tcp",
    "overlong": "tcp",
    "storm": "tcp",
    "silent": "tcp",
    "stalled-handshake": "tls",
    "plain-text": "tls",
}
"""The kinds of `loadgen hostile`, and the listener that each attacks."""

_MOST_SECONDS = 2 * runs.DEADLINE_SECONDS
_AT_WORK_SECONDS = 10.0
_POLL_SECONDS = 0.01
_OPENED = "ingest_connections_opened_total"

_TITLE = """\
### Hostile clients

One good sender, JSON events of about 320 bytes over {connections} TCP connections {rate}, alone and
beside hostile clients, pipeline `{pipeline}`. Ratios are of the two runs of a pair.

{table}
"""
_HEAD = (
    "beside",
    "events/s alone",
    "events/s beside",
    "rate to alone",
    "server CPU-s alone",
    "server CPU-s beside",
    "connections opened",
    "MB sent",
)


class GoodRun(msgspec.Struct, frozen=True):
    """One fresh server with the good sender."""

    events_per_second: float
    cpu_seconds: float
    """Of all processes of the server, whatever for."""


class Pair(msgspec.Struct, frozen=True):
    """The good sender alone, then beside hostile clients."""

    alone: GoodRun
    beside: GoodRun
    deeds: Deeds


class HostileCase(msgspec.Struct, frozen=True, tag_field="case", tag="hostile"):
    """All pairs of every kind, one for each round."""

    rate: float | None
    pairs: dict[str, list[Pair]]

    def section(self) -> str:
        """Return the part of the page for people."""
        pace = "at full speed" if self.rate is None else f"at {self.rate:,.0f} events/s"
        return _TITLE.format(
            connections=CONNECTIONS,
            rate=pace,
            pipeline=PIPELINE,
            table=markdown(_HEAD, [_row(kind, pairs) for kind, pairs in self.pairs.items()]),
        )


def measure(network: NetworkPlan, tell: Callable[[str], None]) -> HostileCase:
    """Measure a pair of every kind in every round."""
    rate = network.pace(RATE)
    load = Load(pipeline=PIPELINE, connections=CONNECTIONS, events=network.events(rate), rate=rate)
    case = HostileCase(rate, {kind: [] for kind in network.kinds or KINDS})
    for number in range(1, network.plan.runs + 1):
        for kind, pairs in case.pairs.items():
            pair = _measure_pair(network.plan, load, kind)
            pairs.append(pair)
            change = pair.beside.events_per_second / pair.alone.events_per_second
            tell(f"round {number}, {kind}: {change:.3f} of the rate alone; {pair.deeds}")
    return case


def _measure_pair(plan: Plan, load: Load, kind: str) -> Pair:
    with runs.warm_server(plan, load, KINDS[kind]) as server:
        alone = _good_run(server, load)
    with runs.warm_server(plan, load, KINDS[kind]) as server:
        address = server.addresses[KINDS[kind]]
        opened = server.sum_of(_OPENED, KINDS[kind])
        with Crowd(kind, address, most_seconds=_MOST_SECONDS) as crowd:
            _await_more_opened(server, KINDS[kind], opened, crowd)
            beside = _good_run(server, load)
            if not crowd.is_at_work:
                raise FailedRunError(f"the clients of {kind} ended before the good sender")
            deeds = crowd.finish()
        ledger = server.await_quiet(runs.DEADLINE_SECONDS)
    expected = load.warm_up_events + load.events
    if ledger.journaled != expected or not ledger.closed:
        raise FailedRunError(f"the good one sent {expected} events, but the ledger says {ledger}")
    return Pair(alone, beside, deeds)


def _good_run(server: Server, load: Load) -> GoodRun:
    before = processes.cpu_seconds(server.pids)
    sent = runs.send(server, load, load.events)
    settled_ns = server.await_settled(
        load.warm_up_events + load.events, runs.DEADLINE_SECONDS, refuses_some=True
    )
    return GoodRun(
        events_per_second=load.events * 1e9 / (settled_ns - sent.started_ns),
        cpu_seconds=processes.cpu_seconds(server.pids) - before,
    )


def _await_more_opened(server: Server, listener: Transport, opened: int, crowd: Crowd) -> None:
    """Wait until the server has met the first of the crowd."""
    deadline = time.monotonic() + _AT_WORK_SECONDS
    while server.sum_of(_OPENED, listener) == opened:
        if time.monotonic() > deadline or not crowd.is_at_work:
            raise FailedRunError("no hostile client could connect")
        time.sleep(_POLL_SECONDS)


def _row(kind: str, pairs: list[Pair]) -> list[str]:
    alone = [pair.alone.events_per_second for pair in pairs]
    beside = [pair.beside.events_per_second for pair in pairs]
    return [
        kind,
        spread(summarise(alone), ",.0f"),
        spread(summarise(beside), ",.0f"),
        spread(ratio(beside, alone), ".3f"),
        spread(summarise(pair.alone.cpu_seconds for pair in pairs), ".2f"),
        spread(summarise(pair.beside.cpu_seconds for pair in pairs), ".2f"),
        spread(summarise(pair.deeds.opened for pair in pairs), ",.0f"),
        spread(summarise(pair.deeds.bytes / 1e6 for pair in pairs), ",.0f"),
    ]
