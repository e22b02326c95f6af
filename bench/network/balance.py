"""How evenly few and many TCP senders are spread over the workers, without a pipeline.

Senders of one rate connect and send; after some seconds, which a server may need to move
connections, the share of each worker in what is received is looked at until the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from bench import runs
from bench.figures import markdown
from bench.generator import Sending
from bench.network.plan import NetworkPlan
from bench.runs import Load, Plan
from bench.server import Server

PIPELINE = "none"
SENDERS = (1, 2, 50, 5_000)
RATE = 500_000.0
WORKERS = 2
SETTLING_SECONDS = 5.0

_POLL_SECONDS = 0.01
_RECEIVED = "ingest_events_received_total"

_TITLE = """\
### Balance

JSON events of about 320 bytes at {rate:,.0f} events/s in all, pipeline `{pipeline}`. The share of
the busiest of {workers} workers in what was received in the first {settling:g} seconds, and in the
seconds behind them.

{table}
"""
_HEAD = ("senders", "first seconds", "behind them", "received by each behind them")


class BalanceRun(msgspec.Struct, frozen=True):
    """One fresh server; what each worker received in the two parts of the run."""

    senders: int
    first: list[int]
    after: list[int]


class BalanceCase(msgspec.Struct, frozen=True, tag_field="case", tag="balance"):
    """All runs, the numbers of senders in turn."""

    rate: float
    workers: int
    runs: list[BalanceRun]

    def section(self) -> str:
        """Return the part of the page for people."""
        ordered = sorted(self.runs, key=lambda run: run.senders)
        return _TITLE.format(
            rate=self.rate,
            pipeline=PIPELINE,
            workers=self.workers,
            settling=SETTLING_SECONDS,
            table=markdown(_HEAD, [_row(run) for run in ordered]),
        )


def measure(network: NetworkPlan, tell: Callable[[str], None]) -> BalanceCase:
    """Measure every number of senders once in every round."""
    workers = network.plan.workers or WORKERS
    plan = msgspec.structs.replace(network.plan, workers=workers)
    rate = network.rate or RATE
    case = BalanceCase(rate, workers, [])
    for number in range(1, plan.runs + 1):
        for senders in SENDERS:
            run = _run(plan, senders, rate, network.seconds)
            case.runs.append(run)
            tell(
                f"round {number}, {senders} senders: the busiest worker had"
                f" {busiest(run.first):.0%}, behind {SETTLING_SECONDS:g} s {busiest(run.after):.0%}"
            )
    return case


def busiest(received: list[int]) -> float:
    """Return the largest share."""
    return max(received) / max(sum(received), 1)


def _run(plan: Plan, senders: int, rate: float, seconds: float) -> BalanceRun:
    events = int(rate * (SETTLING_SECONDS + seconds))
    load = Load(pipeline=PIPELINE, connections=senders, events=events, rate=rate)
    with runs.warm_server(plan, load) as server:
        with runs.sending(server, load, events) as generator:
            began, first = _look_after(server, generator)
            runs.finish(generator, SETTLING_SECONDS + seconds)
        server.await_settled(load.warm_up_events + events, runs.DEADLINE_SECONDS)
        runs.check_ledger(server, load, events)
        ended = server.counts_of(_RECEIVED, "tcp")
    return BalanceRun(
        senders,
        [then - before for then, before in zip(first, began, strict=True)],
        [then - before for then, before in zip(ended, first, strict=True)],
    )


def _look_after(server: Server, generator: Sending) -> tuple[list[int], list[int]]:
    """Return what each worker had received before the first event, and some seconds after it."""
    began = server.counts_of(_RECEIVED, "tcp")
    while server.counts_of(_RECEIVED, "tcp") == began and generator.is_at_work:
        time.sleep(_POLL_SECONDS)
    time.sleep(SETTLING_SECONDS)
    return began, server.counts_of(_RECEIVED, "tcp")


def _row(run: BalanceRun) -> list[str]:
    return [
        f"{run.senders:,}",
        f"{busiest(run.first):.0%}",
        f"{busiest(run.after):.0%}",
        " / ".join(f"{count:,}" for count in run.after),
    ]
