"""Puts the table into a page, between two marks; what stands around them is for people to write."""

from __future__ import annotations

from pathlib import Path

from chaos.fault import Fault
from chaos.table import BEGIN, END, Results, rows

_SECTION = """\
{begin}

{started_at}, commit `{machine.commit}`, `{command}`, seed {seed}: {rate:,.0f} events/s over
{connections} connections to {workers} workers.

Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel},
{disk.filesystem} with {disk.sequential_mb_per_second:.0f} MB/s written in sequence and synced, one
fdatasync p50 {disk.sync_p50_ms} ms.

{rows}

{end}"""


def write(file: Path, results: Results, faults: list[type[Fault]]) -> None:
    """Replace what stands between the marks."""
    before, _, rest = file.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    section = _SECTION.format(
        begin=BEGIN,
        end=END,
        started_at=results.started_at,
        command=results.command,
        seed=results.seed,
        rate=results.rate,
        connections=results.connections,
        workers=results.workers,
        machine=results.machine,
        disk=results.machine.disk,
        rows=rows(results, faults),
    )
    file.write_text(before + section + after)
