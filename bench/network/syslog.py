"""Syslog over four TCP connections at full speed, without a pipeline.

Without a pipeline, so that what is measured is intake, parsing and journal. Every run is read back.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bench import runs
from bench.figures import markdown, spread, summarise
from bench.generator import Format
from bench.network.plan import NetworkPlan
from bench.runs import Load, Run

PIPELINE = "none"
CONNECTIONS = 4

_TITLE = """\
### Syslog, {format}

{format} of about 200 bytes, TCP to durable journal over {connections} connections at full speed,
pipeline `{pipeline}`. Every run was read back: each message stored once and in order.

{table}
"""
_HEAD = ("format", "messages/s until durable", "server CPU-s per million", "generator CPU-s")


class SyslogCase(msgspec.Struct, frozen=True, tag_field="case", tag="syslog"):
    """All runs of one format."""

    message_format: Format
    runs: list[Run]

    def section(self) -> str:
        """Return the part of the page for people."""
        row = [
            self.message_format,
            spread(summarise(run.events_per_second for run in self.runs), ",.0f"),
            spread(summarise(run.cpu_seconds_per_million for run in self.runs), ".2f"),
            spread(summarise(run.generator_cpu_seconds_per_million for run in self.runs), ".2f"),
        ]
        return _TITLE.format(
            format=self.message_format,
            connections=CONNECTIONS,
            pipeline=PIPELINE,
            table=markdown(_HEAD, [row]),
        )


def measure(
    network: NetworkPlan, message_format: Format, tell: Callable[[str], None]
) -> SyslogCase:
    """Measure one format."""
    load = Load(
        pipeline=PIPELINE,
        connections=CONNECTIONS,
        events=network.plan.events,
        message_format=message_format,
    )
    case = SyslogCase(message_format, [])
    for number in range(1, network.plan.runs + 1):
        run = runs.measure(network.plan, load, look_at_events=True)
        case.runs.append(run)
        tell(f"run {number}, {message_format}: {run.events_per_second:,.0f} messages/s")
    return case
