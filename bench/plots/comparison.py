"""Pictures of the server beside its peers and beside limits written by hand.

They read no more of the results than what they show, whatever else stands there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from bench.figures import summarise
from bench.plots.bars import Bar, bars
from bench.plots.picture import COST, RATE, Picture

_OURS = "ingest"


class Run(msgspec.Struct, frozen=True):
    """One run of a program."""

    events_per_second: float
    cpu_seconds_per_million: float


class Entry(msgspec.Struct, frozen=True):
    """All runs of a program that does a job; null where one failed."""

    runs: list[Run | None]
    name: str = ""
    pipeline: str = ""
    """Of ours, where there are several."""


class Ground(msgspec.Struct, frozen=True):
    """All programs that do one job."""

    ground: str
    entries: list[Entry]


class Peers(msgspec.Struct, frozen=True):
    """All jobs."""

    grounds: list[Ground] = []


class Limits(msgspec.Struct, frozen=True):
    """Programs that do a part of our job, and ours that do all of it."""

    limits: list[Entry] = []
    ours: list[Entry] = []


def of_peers(peers: Peers) -> Iterator[Picture]:
    """Yield two pictures for each job."""
    for ground in peers.grounds:
        entries = {entry.name: entry for entry in ground.entries}
        yield from _pictures(f"peers-{ground.ground}", f"The job `{ground.ground}`", entries, _OURS)


def of_limits(limits: Limits) -> Iterator[Picture]:
    """Yield two pictures."""
    if not limits.limits:
        return
    ours = {f"ingest, {entry.pipeline}": entry for entry in limits.ours}
    entries = {**ours, **{entry.name: entry for entry in limits.limits}}
    yield from _pictures("limits", "Parts of the job by hand, and all of it", entries, *ours)


def _pictures(name: str, subject: str, entries: dict[str, Entry], *ours: str) -> Iterator[Picture]:
    measured = {
        its: runs
        for its, entry in entries.items()
        if (runs := [run for run in entry.runs if run is not None])
    }
    if not measured:
        return
    rates = {its: [run.events_per_second for run in runs] for its, runs in measured.items()}
    costs = {its: [run.cpu_seconds_per_million for run in runs] for its, runs in measured.items()}
    for kind, title, form, figures in (
        ("rate", "events/s", RATE, rates),
        ("cpu", "CPU-seconds per million events", COST, costs),
    ):
        yield Picture(
            f"{name}-{kind}",
            f"{subject}: {title}.",
            _bars(f"{subject}: {title}", form, figures, ours),
        )


def _bars(title: str, form: str, figures: dict[str, list[float]], ours: Sequence[str]) -> str:
    rows = [Bar(name, summarise(values), name in ours) for name, values in figures.items()]
    return bars(title.replace("`", ""), rows, form)
