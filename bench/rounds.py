"""Measures cases in rounds: in each of them every case runs once, one after the other.

What the machine does in the meantime hits all of them alike, and ratios are of figures of one
round. Latency is measured behind each run, at half of its rate. What fails is noted, and the rest
goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bench import half_load, runs
from bench.case_result import CaseResult, Latency
from bench.matrix import Case
from bench.runs import DEBUG_ONE_IN, FAILURES, Load, Plan

_MOST_WARM_UP_EVENTS = 200_000

_Tell = Callable[[str], None]


def load(plan: Plan, case: Case) -> Load:
    """Return what a case is sent: whole cycles of levels on every connection."""
    parameters = msgspec.structs.asdict(case.parameters)
    asked = Load(**parameters, events=int(plan.events * case.share))
    events = asked.whole_cycles(asked.events)
    warm_up = asked.whole_cycles(min(events / DEBUG_ONE_IN, _MOST_WARM_UP_EVENTS))
    return msgspec.structs.replace(asked, events=events, warm_up_events=warm_up)


def measure(plan: Plan, cases: Sequence[Case], tell: _Tell) -> list[CaseResult]:
    """Measure all cases and the latency of each; `tell` is told of every run."""
    results = [
        CaseResult(
            name=case.name,
            group=case.group,
            compared_to=case.compared_to,
            parameters=case.parameters,
            runs=[],
            latency=[],
            failures=[],
        )
        for case in cases
    ]
    loads = [load(plan, case) for case in cases]
    for number in range(1, plan.runs + 1):
        for result, each in zip(results, loads, strict=True):
            _round(plan, each, result, f"round {number}", tell)
    return results


def _round(plan: Plan, load: Load, result: CaseResult, name: str, tell: _Tell) -> None:
    run = latency = None
    part = name
    try:
        run = runs.measure(plan, load)
        tell(
            f"{name}, {result.name}: {run.events_per_second:,.0f} events/s,"
            f" {run.cpu_seconds_per_million:.2f} CPU-s per million"
        )
        part = f"{name}, latency"
        rate = run.events_per_second / 2
        found = half_load.measure(plan, load, rate)
        latency = Latency(rate, found)
        tell(f"{part}, {result.name}: p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms")
    except FAILURES as error:
        result.failures.append(f"{part}: {error}")
        tell(f"{part}, {result.name}: FAILED: {error}")
    result.runs.append(run)
    result.latency.append(latency)
