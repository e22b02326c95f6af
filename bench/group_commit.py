"""What group commit costs: a server that syncs as it is set, and one whose syncs do nothing.

Both are the same program at the same settings; for the second one `bench/no_sync.c` takes the place
of the C library's fdatasync and fsync, and of nothing else. They run in pairs, one right after the
other, and whichever came first in a pair comes second in the next.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bench import runs
from bench.figures import Summary, markdown, ratio, spread, summarise
from bench.runs import Load, Plan, Run

PIPELINE = "none"
CONNECTIONS = 4

_TITLE = """
## Group commit

JSON events of about 320 bytes over {connections} connections at full speed, pipeline `{pipeline}`:
with group commit as set (25 ms by default), and with syncs that do nothing, in {pairs} pairs.
Medians, least to most in brackets; ratios are of the two runs of a pair.

{table}

Group commit costs {cost:.1%} of the throughput.
"""
_HEAD = ("", "events/s until durable", "server CPU-s per million", "events/s to no sync")


class GroupCommit(msgspec.Struct, frozen=True):
    """All pairs."""

    connections: int
    events: int
    synced: list[Run]
    unsynced: list[Run]
    """The run of the same pair whose syncs did nothing."""

    @property
    def ratio(self) -> Summary:
        """Throughput with syncs to that without."""
        return ratio(_speeds(self.synced), _speeds(self.unsynced))

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            connections=self.connections,
            pipeline=PIPELINE,
            pairs=len(self.synced),
            table=markdown(
                _HEAD,
                [
                    ["group commit", *_figures(self.synced), spread(self.ratio, ".3f")],
                    ["no sync", *_figures(self.unsynced), ""],
                ],
            ),
            cost=1 - self.ratio.median,
        )


def measure(plan: Plan, tell: Callable[[str], None]) -> GroupCommit:
    """Measure a pair in every round; raise FailedRunError if any run loses count of an event."""
    found = GroupCommit(CONNECTIONS, plan.events, [], [])
    synced = Load(pipeline=PIPELINE, connections=CONNECTIONS, events=plan.events)
    unsynced = msgspec.structs.replace(synced, sync="off")
    for number in range(1, plan.runs + 1):
        pair = [(synced, found.synced), (unsynced, found.unsynced)]
        for load, measured in pair if number % 2 else reversed(pair):
            measured.append(runs.measure(plan, load))
        with_sync, without = found.synced[-1], found.unsynced[-1]
        tell(
            f"pair {number}: {with_sync.events_per_second:,.0f} events/s with group commit,"
            f" {without.events_per_second:,.0f} without sync,"
            f" ratio {with_sync.events_per_second / without.events_per_second:.3f}"
        )
    return found


def _speeds(measured: list[Run]) -> list[float]:
    return [run.events_per_second for run in measured]


def _figures(measured: list[Run]) -> list[str]:
    return [
        spread(summarise(_speeds(measured)), ",.0f"),
        spread(summarise(run.cpu_seconds_per_million for run in measured), ".2f"),
    ]
