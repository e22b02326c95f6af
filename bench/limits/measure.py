"""The limits and our own server, in rounds in which each of them runs once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from bench import page_cache, runs
from bench.figures import ENOUGH_ROUNDS, markdown, spread, summarise
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
from bench.runs import FAILURES, Load, Plan, Run

PIPELINES = ("none", "reference")
"""Pipelines of ours that are held against the limits."""

_TITLE = """
## Limits

Programs by hand (`bench/limits/`) that do a part of the job on the same events, {processes}
processes of them over {connections} connections, and our own server, which does all of it and is
durable: medians of the rounds, least to most in brackets. The last columns are ours as a fraction
of the limit, of figures of the same round: of its events/s, and its CPU per event of ours.
{few}
{table}
{notes}"""
_FEW = """
Fewer than {enough} rounds show where the time goes; they are too few to claim a fraction.
"""
_UNKNOWN = "-"

Tell = Callable[[str], None]
_Done = TypeVar("_Done", LimitRun, Run)


class LimitCase(msgspec.Struct, frozen=True):
    """All runs of a limit."""

    name: str
    job: str
    runs: list[LimitRun | None]
    """One for each round; null where the run failed."""
    failures: list[str] = []
    """What went wrong, in which round."""

    @property
    def completed(self) -> list[LimitRun]:
        """The runs that did not fail."""
        return [run for run in self.runs if run is not None]


class OurCase(msgspec.Struct, frozen=True):
    """All runs of our server with a pipeline."""

    pipeline: str
    runs: list[Run | None]
    """One for each round; null where the run failed."""
    failures: list[str] = []
    """What went wrong, in which round."""

    @property
    def name(self) -> str:
        """What it is called on the page."""
        return f"our `{self.pipeline}`"


class LimitsResult(msgspec.Struct, frozen=True):
    """What was measured; the runs at one position were made in one round."""

    limits: list[LimitCase]
    ours: list[OurCase]
    absent: dict[str, str]
    """Limits that could not be measured here, and why."""

    @property
    def failed(self) -> list[str]:
        """The cases that failed in some round."""
        cases: list[LimitCase | OurCase] = [*self.limits, *self.ours]
        return [case.name for case in cases if case.failures]

    def section(self) -> str:
        """Return the part of the page for people."""
        head = ["", "events/s", "CPU-s per million"]
        for case in self.ours:
            head += [f"`{case.pipeline}`: events/s", f"`{case.pipeline}`: CPU"]
        rows = [
            [f"{limit.name}: {limit.job}", *_figures(limit.runs), *self._fractions(limit)]
            for limit in self.limits
        ]
        rows += [[case.name, *_figures(case.runs), *[""] * (len(head) - 3)] for case in self.ours]
        cases: list[LimitCase | OurCase] = [*self.limits, *self.ours]
        notes = [f"\n{name} was not measured: {why}" for name, why in self.absent.items()]
        notes += [f"\n{case.name} FAILED: {each}" for case in cases for each in case.failures]
        rounds = max(len(case.runs) for case in cases)
        return _TITLE.format(
            processes=PROCESSES,
            connections=CONNECTIONS,
            few=_FEW.format(enough=ENOUGH_ROUNDS) if rounds < ENOUGH_ROUNDS else "",
            table=markdown(head, rows),
            notes="\n".join(notes),
        )

    def _fractions(self, limit: LimitCase) -> Iterator[str]:
        for case in self.ours:
            pairs = [
                (its, our)
                for its, our in zip(limit.runs, case.runs, strict=True)
                if its is not None and our is not None
            ]
            if not pairs:
                yield from (_UNKNOWN, _UNKNOWN)
                continue
            speeds = (our.events_per_second / its.events_per_second for its, our in pairs)
            costs = (
                its.cpu_seconds_per_million / our.cpu_seconds_per_million for its, our in pairs
            )
            yield spread(summarise(speeds), ".1%")
            yield spread(summarise(costs), ".1%")


def measure(plan: Plan, tell: Tell) -> LimitsResult:
    """Measure all limits that can be compiled here, and ours; a failed run is told and kept."""
    absent = _absent()
    for name, why in absent.items():
        tell(f"{name} is not measured: {why}")
    here = [limit for limit in LIMITS.values() if limit.name not in absent]
    limits = [LimitCase(limit.name, limit.job, [], []) for limit in here]
    ours = [OurCase(pipeline, [], []) for pipeline in PIPELINES]
    for number in range(1, plan.runs + 1):
        for limit, case in zip(here, limits, strict=True):
            its = msgspec.structs.replace(plan, events=plan.events * limit.times)
            case.runs.append(_run(plan, case, number, partial(limit.measure, its), tell))
        for our in ours:
            load = _load(plan, our.pipeline)
            our.runs.append(_run(plan, our, number, partial(runs.measure, plan, load), tell))
    result = LimitsResult(limits, ours, absent)
    tell(result.section())
    return result


def _run(
    plan: Plan, case: LimitCase | OurCase, number: int, measure: Callable[[], _Done], tell: Tell
) -> _Done | None:
    try:
        page_cache.touch(plan.data_dir, plan.events * EVENT_BYTES)
        run = measure()
    except FAILURES as error:
        case.failures.append(f"round {number}: {error}")
        tell(f"round {number}, {case.name} FAILED: {error}")
        return None
    tell(
        f"round {number}, {case.name}: {run.events_per_second:,.0f} events/s,"
        f" {run.cpu_seconds_per_million:.2f} CPU-s per million"
    )
    return run


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


def _figures(of: Sequence[LimitRun | None] | Sequence[Run | None]) -> list[str]:
    done = [run for run in of if run is not None]
    if not done:
        return ["failed", _UNKNOWN]
    speeds = summarise(run.events_per_second for run in done)
    costs = summarise(run.cpu_seconds_per_million for run in done)
    return [spread(speeds, ",.0f"), spread(costs, ".2f")]
