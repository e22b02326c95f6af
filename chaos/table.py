"""The table of what survives what, and everything that one run has found."""

from __future__ import annotations

from itertools import groupby

import msgspec

from bench.machine import Machine
from chaos.judge import Verdict

_HEAD = (
    "| fault | promise | rounds | sent | lost | duplicated | connections broken | not yet durable |"
)
_RULE = "|---|---|---:|---:|---:|---:|---:|---:|"


class Results(msgspec.Struct, frozen=True):
    """Everything about one run of `make chaos`."""

    why: str | None
    started_at: str
    command: str
    seed: int
    rate: float
    connections: int
    workers: int
    machine: Machine
    verdicts: list[Verdict]
    """Those of one fault follow each other."""
    unavailable: dict[str, str]
    """Faults that this machine does not allow, and why."""


def table(results: Results) -> str:
    """Return the table in Markdown, a row for each fault that was tried."""
    rows = [_HEAD, _RULE]
    for _, verdicts in groupby(results.verdicts, lambda verdict: verdict.fault):
        rows.append(_row(list(verdicts)))
    rows += [
        f"| `{fault}` | not on this machine: {why} | 0 | | | | | |"
        for fault, why in results.unavailable.items()
    ]
    return "\n".join(rows)


def _row(verdicts: list[Verdict]) -> str:
    cells = [
        f"`{verdicts[0].fault}`",
        verdicts[0].promise,
        f"{sum(each.rounds for each in verdicts):,}",
        _sent(verdicts),
        f"{sum(each.lost for each in verdicts):,}",
        f"{sum(each.duplicated for each in verdicts):,}",
        f"{sum(each.broken_connections for each in verdicts):,}",
        _undurable(verdicts),
    ]
    wrong = [words for each in verdicts for words in each.wrong]
    if wrong:
        cells[1] += f" — **broken**: {'; '.join(wrong)}".replace("\n", " ").replace("|", "/")
    return "| " + " | ".join(cells) + " |"


def _sent(verdicts: list[Verdict]) -> str:
    """Say how many events were sent, and how many a second: on a busy machine fewer than asked."""
    sent, seconds = sum(each.sent for each in verdicts), sum(each.seconds for each in verdicts)
    return f"{sent:,} ({sent / seconds:,.0f}/s)" if seconds else f"{sent:,}"


def _undurable(verdicts: list[Verdict]) -> str:
    """Say what was received and not yet durable when it went, and what the server says of it."""
    undurable = sum(each.undurable for each in verdicts)
    if not undurable:
        return "0"
    counted = sum(each.counted for each in verdicts)
    most = max(each.undurable_at_most for each in verdicts)
    oldest_ms = max(each.oldest_undurable_seconds for each in verdicts) * 1000
    age = f", {oldest_ms:.0f} ms old" if oldest_ms else ""
    return f"{undurable:,} lost, at most {most:,} at once{age}; {counted:,} counted"
