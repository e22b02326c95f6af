"""Writes what was measured: all of it as JSON, and a page for people."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.machine import Machine
from bench.measure import Case, Summary

_MIB = 1024 * 1024

_PAGE = """\
# {why}

{started_at}, commit `{commit}`, `{command}`{settings}.

Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel},
governor {governor}, Python {machine.python}, {machine.rustc}.

Disk: {disk.filesystem} on {disk.source}, {disk.sequential_mb_per_second:.0f} MB/s written in
sequence and synced, one fdatasync p50 {disk.sync_p50_ms} ms.

TCP to durable journal, the generator on the same machine: medians of {runs} runs, least to most in
brackets. Latency is from sending to durable at half of the median rate. Every run ended with a
closed ledger and received = journaled = sent.

| connections | events/s until durable | server CPU-s per million | peak RSS, MiB | p50, ms | p99, ms | generator CPU-s per million |
|---:|---:|---:|---:|---:|---:|---:|
{rows}
"""  # noqa: E501 - a row of a table is one line


class Results(msgspec.Struct, frozen=True):
    """Everything about one run of `make bench`."""

    why: str
    started_at: str
    command: str
    environment: dict[str, str]
    machine: Machine
    cases: list[Case]


def write(results: Results, directory: Path) -> None:
    """Write results.json and README.md into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    (directory / "results.json").write_bytes(text + b"\n")
    (directory / "README.md").write_text(page(results))


def page(results: Results) -> str:
    """Return the page for people."""
    machine, disk = results.machine, results.machine.disk
    settings = "".join(f" {name}={value}" for name, value in sorted(results.environment.items()))
    return _PAGE.format(
        why=results.why,
        started_at=results.started_at,
        commit=machine.commit,
        command=results.command,
        settings=f" with `{settings.strip()}`" if settings else "",
        machine=machine,
        governor=machine.governor or "not visible",
        disk=disk,
        runs=max(len(case.runs) for case in results.cases),
        rows="\n".join(_row(case) for case in results.cases),
    )


def _row(case: Case) -> str:
    generator = max(run.generator_cpu_seconds_per_million for run in case.runs)
    cells = [
        str(case.connections),
        _range(case.events_per_second, 1, ",.0f"),
        _range(case.cpu_seconds_per_million, 1, ".2f"),
        _range(case.peak_resident_bytes, _MIB, ".0f"),
        f"{case.latency_ms.p50:.1f}",
        f"{case.latency_ms.p99:.1f}",
        f"{generator:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _range(summary: Summary, unit: float, form: str) -> str:
    middle, least, most = (
        format(value / unit, form) for value in (summary.median, summary.minimum, summary.maximum)
    )
    return f"{middle} ({least} to {most})"
