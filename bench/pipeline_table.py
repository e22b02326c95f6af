"""Puts pipelines beside each other and beside fapilog, as a table of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.beside import FapilogRun
from bench.figures import ratio, spread, summarise
from bench.pipelines import Rounds
from bench.runs import Run

_HEAD = """\
| case | events/s | worker CPU-s per million | events per worker CPU-s | CPU to `none` | CPU to `reference` | events/s to fapilog | events per CPU-s to fapilog |
|---|---:|---:|---:|---:|---:|---:|---:|"""  # noqa: E501 - a row of a table is one line
_UNKNOWN = "-"


class Figures:
    """What one case came to, round by round."""

    def __init__(self, rates: Sequence[float], costs: Sequence[float]) -> None:
        """Take events per second and CPU-seconds per million events."""
        self.rates = rates
        self.costs = costs
        self.yields = [1e6 / cost for cost in costs]
        """Events per CPU-second."""


def table(rounds: Rounds) -> str:
    """Return the table of all cases."""
    ours = {case.name: _figures(case.runs) for case in rounds.pipelines}
    theirs = {case.name: _fapilog_figures(case.runs) for case in rounds.fapilog}
    fapilog = next(iter(theirs.values()))
    rows = [_row(name, figures, ours, fapilog) for name, figures in ours.items()]
    rows += [_row(name, figures, {}, fapilog) for name, figures in theirs.items()]
    return "\n".join([_HEAD, *rows])


def _figures(runs: Sequence[Run]) -> Figures:
    return Figures(
        [run.events_per_second for run in runs],
        [run.worker_cpu_seconds_per_million for run in runs],
    )


def _fapilog_figures(runs: Sequence[FapilogRun]) -> Figures:
    return Figures(
        [run.events_per_second for run in runs], [run.cpu_seconds_per_million for run in runs]
    )


def _row(name: str, figures: Figures, ours: dict[str, Figures], fapilog: Figures) -> str:
    cells = [
        f"`{name}`" if ours else name,
        spread(summarise(list(figures.rates)), ",.0f"),
        spread(summarise(list(figures.costs)), ".2f"),
        spread(summarise(figures.yields), ",.0f"),
        *(
            spread(ratio(figures.costs, ours[other].costs), ".2f") if other in ours else _UNKNOWN
            for other in ("none", "reference")
        ),
        spread(ratio(figures.rates, fapilog.rates), ",.1f"),
        spread(ratio(figures.yields, fapilog.yields), ",.1f"),
    ]
    return "| " + " | ".join(cells) + " |"
