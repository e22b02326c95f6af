"""Pictures of the server beside its peers and beside limits written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import summarise
from bench.limits.measure import LimitsResult
from bench.limits.programs import LimitRun
from bench.peers.results import OURS, PeersResult
from bench.peers.run import PeerRun
from bench.plots.bars import Bar, bars
from bench.plots.picture import COST, RATE, Picture
from bench.runs import Run

_Runs = Sequence[Run | None] | Sequence[PeerRun | None] | Sequence[LimitRun | None]


def of_peers(peers: PeersResult) -> Iterator[Picture]:
    """Yield two pictures for each job."""
    for ground in peers.grounds:
        entries: dict[str, _Runs] = {entry.name: entry.runs for entry in ground.entries}
        yield from _pictures(f"peers-{ground.ground}", f"The job `{ground.ground}`", entries, OURS)


def of_limits(limits: LimitsResult) -> Iterator[Picture]:
    """Yield two pictures."""
    ours: dict[str, _Runs] = {f"{OURS}, {case.pipeline}": case.runs for case in limits.ours}
    theirs: dict[str, _Runs] = {case.name: case.runs for case in limits.limits}
    if theirs:
        subject = "Parts of the job by hand, and all of it"
        yield from _pictures("limits", subject, {**ours, **theirs}, *ours)


def _pictures(name: str, subject: str, entries: dict[str, _Runs], *ours: str) -> Iterator[Picture]:
    measured = {
        its: completed
        for its, runs in entries.items()
        if (completed := [run for run in runs if run is not None])
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
