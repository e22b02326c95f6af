"""Pipelines over four connections, and fapilog beside them, in rounds.

In a round every case runs once, one after the other: what the machine does in the meantime hits
all of them alike, and ratios are of figures of the same round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bench import beside, runs
from bench.beside import FapilogRun
from bench.runs import DEBUG_ONE_IN, Load, Plan, Run

CONNECTIONS = 4
_CYCLE = CONNECTIONS * DEBUG_ONE_IN
_MOST_WARM_UP_EVENTS = 200_000


class Pipeline(msgspec.Struct, frozen=True):
    """A configuration to measure."""

    name: str
    share: float = 1.0
    """Of the events of a run: slow ones get fewer, to take about as long."""
    drops_debug: bool = True


PIPELINES = (
    Pipeline("none", drops_debug=False),
    Pipeline("reference"),
    Pipeline("credentials"),
    Pipeline("envelope"),
    Pipeline("plugin", share=0.1),
    Pipeline("python", share=0.04),
)
NAMES = tuple(pipeline.name for pipeline in PIPELINES)
_FAPILOG_SHARE = 0.006


class PipelineCase(msgspec.Struct, frozen=True):
    """All runs of a pipeline, one for each round."""

    name: str
    events: int
    runs: list[Run]


class FapilogCase(msgspec.Struct, frozen=True):
    """All runs of fapilog with some enrichers, one for each round."""

    name: str
    enrichers: tuple[str, ...]
    events: int
    runs: list[FapilogRun]


class Rounds(msgspec.Struct, frozen=True):
    """What was measured; the runs at one position were made in one round."""

    pipelines: list[PipelineCase]
    fapilog: list[FapilogCase]


def load(plan: Plan, pipeline: Pipeline) -> Load:
    """Return what a pipeline is sent: whole cycles of levels on every connection."""
    events = whole_cycles(plan.events * pipeline.share)
    return Load(
        pipeline=pipeline.name,
        connections=CONNECTIONS,
        events=events,
        warm_up_events=whole_cycles(min(events / DEBUG_ONE_IN, _MOST_WARM_UP_EVENTS)),
        drops_debug=pipeline.drops_debug,
    )


def whole_cycles(events: float) -> int:
    """Return about so many events, at least one cycle on every connection."""
    return max(1, int(events) // _CYCLE) * _CYCLE


def measure(plan: Plan, names: Sequence[str], tell: Callable[[str], None]) -> Rounds:
    """Measure the named pipelines and fapilog; `tell` is told of every run."""
    loads = [load(plan, pipeline) for pipeline in PIPELINES if pipeline.name in names]
    fapilog_events = whole_cycles(plan.events * _FAPILOG_SHARE)
    rounds = Rounds(
        [PipelineCase(each.pipeline, each.events, []) for each in loads],
        [
            FapilogCase(variant.name, variant.enrichers, fapilog_events, [])
            for variant in beside.VARIANTS
        ],
    )
    for number in range(1, plan.runs + 1):
        for case, each in zip(rounds.pipelines, loads, strict=True):
            run = runs.measure(plan, each)
            case.runs.append(run)
            tell(f"round {number}, {case.name}: {run.events_per_second:,.0f} events/s")
        for fapilog, variant in zip(rounds.fapilog, beside.VARIANTS, strict=True):
            beside_run = beside.measure(variant, fapilog.events)
            fapilog.runs.append(beside_run)
            tell(f"round {number}, {variant.name}: {beside_run.events_per_second:,.0f} events/s")
    return rounds
