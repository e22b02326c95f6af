"""The limits and our own server, in rounds in which each of them runs once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

import msgspec

from bench import page_cache, runs
from bench.figures import markdown, ratio, spread, summarise
from bench.limits import build
from bench.limits.build import Unavailable
from bench.limits.programs import (
    CONNECTIONS,
    EVENT_BYTES,
    LIMITS,
    PARSING,
    PROCESSES,
    LimitRun,
)
from bench.runs import Load, Plan, Run
from bench.server import FailedRunError

CASES = ("none", "reference")
"""Pipelines of ours that are held against the limits."""

_TITLE = """
## Limits

Programs by hand (`bench/limits/`) that do a part of the job on the same events, {processes}
processes of them over {connections} connections, and our own server, which does all of it and is
durable: medians of the rounds, least to most in brackets. The last columns are ours as a fraction
of the limit, of figures of the same round: of its events/s, and its CPU per event of ours.

{table}
{absent}"""

Tell = Callable[[str], None]


class LimitCase(msgspec.Struct, frozen=True):
    """All runs of a limit, one for each round."""

    name: str
    job: str
    runs: list[LimitRun]


class OurCase(msgspec.Struct, frozen=True):
    """All runs of our server with a pipeline, one for each round."""

    pipeline: str
    runs: list[Run]


class LimitsResult(msgspec.Struct, frozen=True):
    """What was measured; the runs at one position were made in one round."""

    limits: list[LimitCase]
    ours: list[OurCase]
    absent: dict[str, str]
    """Limits that could not be measured here, and why."""

    def section(self) -> str:
        """Return the part of the page for people."""
        head = ["", "events/s", "CPU-s per million"]
        for case in self.ours:
            head += [f"`{case.pipeline}`: events/s", f"`{case.pipeline}`: CPU"]
        rows = [self._row(limit) for limit in self.limits]
        rows += [_our_row(case, len(head)) for case in self.ours]
        absent = "\n".join(f"\n{name} was not measured: {why}" for name, why in self.absent.items())
        return _TITLE.format(
            processes=PROCESSES,
            connections=CONNECTIONS,
            table=markdown(head, rows),
            absent=absent,
        )

    def _row(self, limit: LimitCase) -> list[str]:
        speeds = [run.events_per_second for run in limit.runs]
        costs = [run.cpu_seconds_per_million for run in limit.runs]
        cells = [f"{limit.name}: {limit.job}", *_figures(speeds, costs)]
        for case in self.ours:
            ours = [run.events_per_second for run in case.runs]
            our_costs = [run.cpu_seconds_per_million for run in case.runs]
            cells += [
                spread(ratio(ours, speeds), ".1%"),
                spread(ratio(costs, our_costs), ".1%"),
            ]
        return cells


def measure(plan: Plan, tell: Tell) -> LimitsResult:
    """Measure all limits that can be compiled here, and ours; raise FailedRunError if one fails."""
    absent = _absent()
    for name, why in absent.items():
        tell(f"{name} is not measured: {why}")
    limits = [
        LimitCase(limit.name, limit.job, [])
        for limit in LIMITS.values()
        if limit.name not in absent
    ]
    ours = [OurCase(pipeline, []) for pipeline in CASES]
    for number in range(1, plan.runs + 1):
        for case in limits:
            case.runs.append(done := _once(case.name, plan))
            tell(_line(number, case.name, done.events_per_second, done.cpu_seconds_per_million))
        for our in ours:
            page_cache.touch(plan.data_dir, plan.events * EVENT_BYTES)
            our.runs.append(run := runs.measure(plan, _load(plan, our.pipeline)))
            tell(_line(number, our.pipeline, run.events_per_second, run.cpu_seconds_per_million))
    result = LimitsResult(limits, ours, absent)
    tell(result.section())
    return result


def _once(name: str, plan: Plan) -> LimitRun:
    page_cache.touch(plan.data_dir, plan.events * EVENT_BYTES)
    try:
        return LIMITS[name].measure(plan)
    except subprocess.SubprocessError as error:
        raise FailedRunError(f"the limit {name} failed: {error}") from error


def _load(plan: Plan, pipeline: str) -> Load:
    load = Load(pipeline=pipeline, connections=CONNECTIONS, events=0)
    return msgspec.structs.replace(
        load,
        events=load.whole_cycles(plan.events),
        warm_up_events=load.whole_cycles(min(load.warm_up_events, plan.events / 5)),
    )


def _absent() -> dict[str, str]:
    absent = {}
    try:
        build.limit()
        if not build.can_parse():
            absent = dict.fromkeys(PARSING, "simdjson is not here: `make clients` unpacks it")
    except Unavailable as why:
        absent = dict.fromkeys((name for name in LIMITS if "copy" not in name), str(why))
    try:
        build.copy()
    except Unavailable as why:
        absent |= dict.fromkeys((name for name in LIMITS if "copy" in name), str(why))
    return absent


def _our_row(case: OurCase, width: int) -> list[str]:
    speeds = [run.events_per_second for run in case.runs]
    costs = [run.cpu_seconds_per_million for run in case.runs]
    return [f"our `{case.pipeline}`", *_figures(speeds, costs), *[""] * (width - 3)]


def _figures(speeds: Sequence[float], costs: Sequence[float]) -> list[str]:
    return [spread(summarise(speeds), ",.0f"), spread(summarise(costs), ".2f")]


def _line(number: int, name: str, speed: float, cost: float) -> str:
    return f"round {number}, {name}: {speed:,.0f} events/s, {cost:.2f} CPU-s per million"
