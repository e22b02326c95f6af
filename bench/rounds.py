"""Measures cases in rounds: in each of them every case runs once, one after the other.

What the machine does in the meantime hits all of them alike, and ratios are of figures of one
round. A run that fails is noted and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from subprocess import CalledProcessError

import msgspec

from bench import half_load, runs
from bench.case_result import CaseResult, Latency
from bench.figures import summarise
from bench.matrix import Case
from bench.runs import DEBUG_ONE_IN, Load, Plan
from bench.server import FailedRunError

_MOST_WARM_UP_EVENTS = 200_000
# A server that died in the middle is a process that is gone, or a report that is cut off.
_FAILURES = (FailedRunError, CalledProcessError, OSError, msgspec.DecodeError)

_Tell = Callable[[str], None]


def load(plan: Plan, case: Case) -> Load:
    """Return what a case is sent: whole cycles of levels on every connection."""
    parameters = msgspec.structs.asdict(case.parameters)
    asked = Load(**parameters, events=int(plan.events * case.share))
    events = asked.whole_cycles(asked.events)
    warm_up = asked.whole_cycles(min(events / DEBUG_ONE_IN, _MOST_WARM_UP_EVENTS))
    return msgspec.structs.replace(asked, events=events, warm_up_events=warm_up)


def measure(plan: Plan, cases: Sequence[Case], tell: _Tell) -> list[CaseResult]:
    """Measure all cases, then the latency of each; `tell` is told of every run."""
    results = [
        CaseResult(
            name=case.name,
            group=case.group,
            compared_to=case.compared_to,
            parameters=case.parameters,
            runs=[],
            latency=None,
            failures=[],
        )
        for case in cases
    ]
    loads = [load(plan, case) for case in cases]
    for number in range(1, plan.runs + 1):
        for result, each in zip(results, loads, strict=True):
            _run(plan, each, result, f"round {number}", tell)
    return [
        msgspec.structs.replace(result, latency=_latency(plan, each, result, tell))
        for result, each in zip(results, loads, strict=True)
    ]


def _run(plan: Plan, load: Load, result: CaseResult, name: str, tell: _Tell) -> None:
    try:
        run = runs.measure(plan, load)
    except _FAILURES as error:
        result.runs.append(None)
        _note(result, name, error, tell)
        return
    result.runs.append(run)
    tell(
        f"{name}, {result.name}: {run.events_per_second:,.0f} events/s,"
        f" {run.cpu_seconds_per_million:.2f} CPU-s per million"
    )


def _latency(plan: Plan, load: Load, result: CaseResult, tell: _Tell) -> Latency | None:
    if not result.completed:
        return None
    rate = summarise(run.events_per_second for run in result.completed).median / 2
    try:
        found = half_load.measure(plan, load, rate)
    except _FAILURES as error:
        _note(result, "latency", error, tell)
        return None
    tell(f"latency, {result.name}: p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms")
    return Latency(rate, found)


def _note(result: CaseResult, part: str, error: Exception, tell: _Tell) -> None:
    result.failures.append(f"{part}: {error}")
    tell(f"{part}, {result.name}: FAILED: {error}")
