"""The table of what survives what, for docs/chaos.md and the terminal."""

from __future__ import annotations

import msgspec

from bench.machine import Machine
from chaos.fault import Fault
from chaos.judge import Verdict

BEGIN = "<!-- Written by `make chaos`. Do not edit. -->"
END = "<!-- End of what `make chaos` wrote. -->"

_HEAD = (
    "| fault | promise | rounds | sent | lost | duplicated | connections broken | not yet durable |"
)
_RULE = "|---|---|---:|---:|---:|---:|---:|---:|"


class Results(msgspec.Struct, frozen=True):
    """Everything about one run of `make chaos`."""

    started_at: str
    command: str
    seed: int
    rate: float
    connections: int
    workers: int
    machine: Machine
    verdicts: list[Verdict]
    unavailable: dict[str, str]
    """Faults that this machine does not allow, and why."""


def rows(results: Results, faults: list[type[Fault]]) -> str:
    """Return the table in Markdown, a row for each fault that was tried."""
    lines = [_HEAD, _RULE]
    for fault in faults:
        verdicts = [each for each in results.verdicts if each.fault == fault.name]
        if verdicts:
            lines.append(_row(fault, verdicts))
        elif fault.name in results.unavailable:
            why = results.unavailable[fault.name]
            lines.append(f"| {fault.name} | {fault.promise.words} | not here: {why} | | | | | |")
    return "\n".join(lines)


def _row(fault: type[Fault], verdicts: list[Verdict]) -> str:
    cells: list[str] = [
        f"`{fault.name}`",
        fault.promise.words,
        f"{sum(each.rounds for each in verdicts):,}",
        f"{sum(each.sent for each in verdicts):,}",
        f"{sum(each.lost for each in verdicts):,}",
        f"{sum(each.duplicated for each in verdicts):,}",
        f"{sum(each.broken_connections for each in verdicts):,}",
        _undurable(verdicts),
    ]
    return "| " + " | ".join(cells) + " |"


def _undurable(verdicts: list[Verdict]) -> str:
    """Say what was received and not yet durable when it went, and what the server says of it."""
    undurable = sum(each.undurable for each in verdicts)
    if not undurable:
        return "0"
    counted = sum(each.counted for each in verdicts)
    most = max(each.undurable_at_most for each in verdicts)
    oldest_ms = max(each.oldest_undurable_seconds for each in verdicts) * 1000
    age = f", {oldest_ms:.0f} ms old" if oldest_ms else ""
    return f"{undurable:,}, at most {most:,} at once{age}; {counted:,} counted"
