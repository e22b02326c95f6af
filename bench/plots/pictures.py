"""Which pictures there are, and what of the results each of them shows.

Results hold what was measured in one run and may lack any part; a picture of a missing part is not
made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from bench.case_result import CaseResult
from bench.distribution import BOUNDS_MS
from bench.figures import Summary, summarise
from bench.limits.measure import LimitsResult
from bench.peers.results import PeersResult
from bench.plots import comparison
from bench.plots.bars import Bar, Stack, bars, stacks
from bench.plots.curves import Curve, curves
from bench.plots.picture import COST, RATE, Picture
from bench.profile import report
from bench.profile.breakdown import Profile
from bench.scaling import ScalingCase

_PARTS = {"cases": "matrix", "scaling": "scaling", "peers": "peers", "limits": "limits"}
_MOST_CURVES = 6
_REFERENCE = "reference"
_NOTHING = 0.1  # per cent
_SMALL_SHARE = 0.015
_REST = "all others"


class Shown(msgspec.Struct, frozen=True):
    """What of the results is shown, whatever directories it was read from."""

    cases: list[CaseResult] = []
    profiles: list[Profile] = []
    scaling: list[ScalingCase] = []
    peers: PeersResult | None = None
    limits: LimitsResult | None = None


def read(directories: Sequence[Path]) -> Shown:
    """Return what is there; of a part that is in several directories, that of the last."""
    found: dict[str, Any] = {}
    for directory in directories:
        if (file := directory / "results.json").exists():
            results = msgspec.json.decode(file.read_bytes())
            found |= {part: results[name] for part, name in _PARTS.items() if results.get(name)}
        if profiles := report.read(directory):
            found["profiles"] = msgspec.to_builtins(profiles.profiles)
    return msgspec.convert(found, Shown)


def pictures(shown: Shown) -> Iterator[Picture]:
    """Yield the pictures that there are results for."""
    if shown.peers is not None:
        yield from comparison.of_peers(shown.peers)
    if shown.limits is not None:
        yield from comparison.of_limits(shown.limits)
    completed = [case for case in shown.cases if case.completed]
    if completed:
        yield from _of_cases(completed)
        yield from _over_a_number(completed)
    if latencies := [case for case in completed if case.latencies]:
        yield _latency(latencies)
    if shown.profiles:
        yield _phases(shown.profiles)
    if shown.scaling:
        yield _scaling(shown.scaling)


def _of_cases(cases: Sequence[CaseResult]) -> Iterator[Picture]:
    yield Picture(
        "cases-rate",
        "Events per second until durable, case by case: medians, and the least and the most.",
        bars("Events/s until durable", [Bar(case.name, _rate(case)) for case in cases], RATE),
    )
    yield Picture(
        "cases-cpu",
        "CPU time of all processes of the server, case by case.",
        bars(
            "Server CPU-seconds per million events",
            [Bar(case.name, _cost(case)) for case in cases],
            COST,
        ),
    )


def _over_a_number(cases: Sequence[CaseResult]) -> Iterator[Picture]:
    rate, volume = ("Events/s until durable", RATE, _rate), ("MB/s until durable", RATE, _volume)
    for group, field, across, speed in (
        ("connections", "connections", "connections", rate),
        ("sizes", "event_bytes", "bytes of an event", volume),
    ):
        members = [case for case in cases if case.group == group]
        if not members:
            continue
        members += [case for case in cases if case.name == _REFERENCE]
        members.sort(key=lambda case: getattr(case.parameters, field))
        for kind, (title, form, figure) in (
            ("speed", speed),
            ("cpu", ("Server CPU-seconds per million events", COST, _cost)),
        ):
            numbers = [getattr(case.parameters, field) for case in members]
            figures = [figure(case) for case in members]
            curve = Curve(
                _REFERENCE,
                [(number, each.median) for number, each in zip(numbers, figures, strict=True)],
                [(each.minimum, each.maximum) for each in figures],
            )
            yield Picture(
                f"{group}-{kind}",
                f"{title} of the pipeline `{_REFERENCE}`, by {across}.",
                curves(f"{title}, by {across}", across, form, [curve]),
            )


def _latency(cases: Sequence[CaseResult]) -> Picture:
    preferred = [case for case in cases if case.group in ("pipelines", "connections")]
    chosen = (preferred or list(cases))[:_MOST_CURVES]
    shares = {case.name: _durable_within(case) for case in chosen}
    # From the last bound within which nothing was durable to the first within which all was.
    done = list(zip(*shares.values(), strict=True))[: len(BOUNDS_MS)]
    first = max((at for at, each in enumerate(done) if max(each) < _NOTHING), default=0)
    last = min(
        (at for at, each in enumerate(done) if min(each) > 100 - _NOTHING), default=len(done)
    )
    return Picture(
        "latency",
        "Latency from sending to durable at half of the maximal rate: how many of all events were"
        " durable within how long.",
        curves(
            "Events durable within, %",
            "milliseconds",
            ".0f",
            [
                Curve(name, list(zip(BOUNDS_MS, each, strict=False))[first : last + 1])
                for name, each in shares.items()
            ],
            top=100,
        ),
    )


def _durable_within(case: CaseResult) -> list[float]:
    """Return how many per cent of the events of all rounds were durable within each bound."""
    rounds = [each.milliseconds for each in case.latencies]
    samples = sum(each.samples for each in rounds)
    buckets = map(sum, zip(*(each.buckets for each in rounds), strict=True))
    return [100 * done / samples for done in accumulate(buckets)]


def _phases(profiles: Sequence[Profile]) -> Picture:
    large = {
        phase.name for each in profiles for phase in each.phases if phase.share >= _SMALL_SHARE
    }
    rows = []
    for profile in profiles:
        parts = {
            phase.name: phase.cpu_seconds_per_million
            for phase in profile.phases
            if phase.name in large
        }
        parts[_REST] = profile.cpu_seconds_per_million - sum(parts.values())
        rows.append(Stack(profile.case, parts))
    return Picture(
        "phases",
        "Where the workers' CPU time goes, by phase; [Performance](performance.md) explains them.",
        stacks("Worker CPU-seconds per million events, by phase", rows, ".3f"),
    )


def _scaling(cases: Sequence[ScalingCase]) -> Picture:
    rows = [
        Bar(
            case.name,
            summarise(run.worker_cpu_seconds_per_million for run in case.runs),
        )
        for case in cases
    ]
    return Picture(
        "scaling",
        "What an event costs with more of one thing; [Scaling](scaling.md) says what follows.",
        bars("Worker CPU-seconds per million events", rows, COST),
    )


def _rate(case: CaseResult) -> Summary:
    return summarise(run.events_per_second for run in case.completed)


def _volume(case: CaseResult) -> Summary:
    return summarise(run.events_per_second * run.bytes / run.events / 1e6 for run in case.completed)


def _cost(case: CaseResult) -> Summary:
    return summarise(run.cpu_seconds_per_million for run in case.completed)
