"""What an event costs with more workers, connections, listeners, patterns and masked paths.

In rounds, like the cases of bench/matrix.py. One number changes at a time. Where it is not that of
connections, these are 16, dealt out evenly to the listeners; no stage drops any event. The page on
scaling reckons from these figures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Literal

import msgspec

from bench import processes, runs, settings
from bench.figures import markdown, ratio, spread, summarise
from bench.generator import Sending
from bench.runs import DEADLINE_SECONDS, MEASURED, WARM_UP, Plan
from bench.server import Server

Dimension = Literal["workers", "connections", "listeners", "patterns", "paths"]

CONNECTIONS = 16
_WARM_UP_EVENTS = 200_000
_CONNECTIONS = (4, 64, 1000)
_LISTENERS = (1, 4, 16)
_PATTERNS = (0, 2, 8, 32)
_PATHS = (0, 1, 4, 32)


class ScalingRun(msgspec.Struct, frozen=True):
    """One fresh server under load."""

    events_per_second: float
    """Until the last one was durable."""
    worker_cpu_seconds_per_million: float


class ScalingCase(msgspec.Struct, frozen=True):
    """All runs with one number of something, one for each round."""

    dimension: Dimension
    """What there is a number of; of everything else there is one, or none, or what is usual."""
    number: int
    runs: list[ScalingRun]

    @property
    def name(self) -> str:
        """As in tables and pictures."""
        return f"{self.dimension}: {self.number}"


def cases(plan: Plan) -> Iterator[ScalingCase]:
    """Yield what is to be measured: workers are doubled up to the plan's, or one per core."""
    most_workers = plan.workers or len(os.sched_getaffinity(0))
    for exponent in range(most_workers.bit_length()):
        yield ScalingCase("workers", 1 << exponent, runs=[])
    for number in _CONNECTIONS:
        yield ScalingCase("connections", number, runs=[])
    for number in _LISTENERS:
        yield ScalingCase("listeners", number, runs=[])
    for number in _PATTERNS:
        yield ScalingCase("patterns", number, runs=[])
    for number in _PATHS:
        yield ScalingCase("paths", number, runs=[])


def measure(plan: Plan, tell: Callable[[str], None]) -> list[ScalingCase]:
    """Measure all cases in rounds; `tell` is told of every run."""
    measured = list(cases(plan))
    for number in range(1, plan.runs + 1):
        for case in measured:
            run = _run(plan, case)
            case.runs.append(run)
            tell(
                f"round {number}, {case.name}:"
                f" {run.events_per_second:,.0f} events/s,"
                f" {run.worker_cpu_seconds_per_million:.2f} worker CPU-s per million"
            )
    return measured


def configuration(case: ScalingCase) -> str:
    """Return the configuration of a server for a case."""
    # One path that every event has; the others are looked for and not found.
    paths = ["data.password", *(f"data.secret_{at}" for at in range(1, _of(case, "paths", 0)))]
    patterns = [f"(?i).*secret.?{at}.*" for at in range(_of(case, "patterns", 0))]
    stages = {"paths": ("field_mask", "fields_to_mask", paths)}
    stages["patterns"] = ("regex_mask", "patterns", patterns)
    # Lists of strings are written alike in JSON and in TOML.
    lines = ["[pipeline]", "filters = []", "enrichers = []"]
    if (stage := stages.get(case.dimension)) and case.number:
        name, key, values = stage
        lines += [f'redactors = ["{name}"]', f"[pipeline.config.{name}]"]
        lines.append(f"{key} = {json.dumps(values)}")
    else:
        lines.append("redactors = []")
    for at in range(_of(case, "listeners", 1)):
        lines += ["[[listeners]]", 'kind = "tcp"', f'name = "tcp-{at}"']
        lines.append(f'address = "{settings.ANY_PORT}"')
    return "\n".join(lines)


def section(measured: Sequence[ScalingCase]) -> str:
    """Return the part of the page for people."""
    return (
        f"\n## Scaling\n\nJSON events of about 320 bytes over {CONNECTIONS} TCP connections until"
        " durable, no pipeline; but for what the case\nnames. Medians, least to most in brackets."
        f" Ratios are of figures of one round.\n\n{table(measured)}\n"
    )


def table(measured: Sequence[ScalingCase]) -> str:
    """Return a row for each case, held against the first of its dimension."""
    rows = []
    for case in measured:
        first = next(each for each in measured if each.dimension == case.dimension)
        costs = _costs(case)
        rows.append(
            [
                case.name,
                spread(summarise(run.events_per_second for run in case.runs), ",.0f"),
                spread(summarise(costs), ".2f"),
                spread(ratio(costs, _costs(first)), ".2f"),
            ]
        )
    return markdown(["case", "events/s", "worker CPU-s per million", "CPU to the first"], rows)


def _run(plan: Plan, case: ScalingCase) -> ScalingRun:
    with runs.server_directory(plan) as directory:
        file = directory / "config.toml"
        file.write_text(configuration(case))
        connections = _of(case, "connections", CONNECTIONS)
        workers = case.number if case.dimension == "workers" else plan.workers
        with Server(directory / "data", directory / "log", file, workers) as server:
            warm_up, _ = _send(server, connections, _WARM_UP_EVENTS, WARM_UP)
            server.await_settled(warm_up, DEADLINE_SECONDS)
            pids = [pid for pid in server.pids if processes.role(pid) == "worker"]
            before = processes.cpu_seconds(pids)
            events, started_ns = _send(server, connections, plan.events, MEASURED)
            settled_ns = server.await_settled(warm_up + events, DEADLINE_SECONDS)
            cost = runs.cpu_at_rest(pids) - before
            server.check_ledger(sent=warm_up + events, filtered=0)
    return ScalingRun(
        events_per_second=events * 1e9 / (settled_ns - started_ns),
        worker_cpu_seconds_per_million=cost * 1e6 / events,
    )


def _send(server: Server, connections: int, events: int, run: int) -> tuple[int, int]:
    """Send about so many events; return how many, and when the first was sent, in monotonic ns."""
    shares = len(server.addresses)
    with ExitStack() as stack:
        senders = [
            stack.enter_context(
                Sending(
                    "tcp",
                    address,
                    connections=connections // shares,
                    events=events // shares,
                    run=run,
                )
            )
            for address in server.addresses.values()
        ]
        sent = [runs.finish(sender) for sender in senders]
    return sum(each.events for each in sent), min(each.started_ns for each in sent)


def _of(case: ScalingCase, dimension: Dimension, otherwise: int) -> int:
    return case.number if case.dimension == dimension else otherwise


def _costs(case: ScalingCase) -> list[float]:
    return [run.worker_cpu_seconds_per_million for run in case.runs]
