"""Two loads in rounds, one after the other: what the second costs, as a multiple of the first."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bench import runs
from bench.figures import markdown, ratio, spread, summarise
from bench.network.plan import NetworkPlan
from bench.runs import Load, Run

_HEAD = (
    "",
    "events/s",
    "server CPU-s per million",
    "CPU to the first",
    "generator CPU-s per million",
)


class Side(msgspec.Struct, frozen=True):
    """All runs of one load, one for each round."""

    name: str
    load: Load
    runs: list[Run]


def measure(
    network: NetworkPlan, loads: dict[str, Load], tell: Callable[[str], None]
) -> list[Side]:
    """Measure each load once in every round."""
    sides = [Side(name, load, []) for name, load in loads.items()]
    for number in range(1, network.plan.runs + 1):
        for side in sides:
            run = runs.measure(network.plan, side.load)
            side.runs.append(run)
            tell(
                f"round {number}, {side.name}: {run.events_per_second:,.0f} events/s,"
                f" {run.cpu_seconds_per_million:.2f} CPU-s per million"
            )
    return sides


def table(sides: list[Side]) -> str:
    """Return the table of some loads; ratios are of figures of the same round."""
    first = [run.cpu_seconds_per_million for run in sides[0].runs]
    return markdown(_HEAD, [_row(side, first) for side in sides])


def _row(side: Side, first: list[float]) -> list[str]:
    costs = [run.cpu_seconds_per_million for run in side.runs]
    return [
        side.name,
        spread(summarise(run.events_per_second for run in side.runs), ",.0f"),
        spread(summarise(costs), ".2f"),
        spread(ratio(costs, first), ".2f"),
        spread(summarise(run.generator_cpu_seconds_per_million for run in side.runs), ".2f"),
    ]
