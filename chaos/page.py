"""Keeps what runs have found: each as JSON, and all of them on a page, between two marks.

What stands around the marks is for people to write.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from chaos.table import Results, table

BEGIN = "<!-- Written by `make chaos`. Do not edit. -->\n"
END = "<!-- End of what `make chaos` wrote. -->\n"

_SECTION = """
### {why}

{started_at}, commit `{machine.commit}`, `{command}`, seed {seed}: {rate:,.0f} events/s over
{connections} connections to {workers} workers.

Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel},
{disk.filesystem} with {disk.sequential_mb_per_second:.0f} MB/s written in sequence and synced, one
fdatasync p50 {disk.sync_p50_ms} ms.

{table}
"""


def keep(results: Results, directory: Path) -> Path:
    """Write the results into `directory`, in place of those of that day with that name."""
    slug = re.sub(r"[^a-z0-9]+", "-", (results.why or "").lower()).strip("-")
    file = directory / f"{results.started_at[:10]}-{slug}.json"
    directory.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    return file


def write(page: Path, directory: Path) -> None:
    """Put all results of `directory`, the newest first, into the page."""
    found = [
        msgspec.json.decode(file.read_bytes(), type=Results) for file in directory.glob("*.json")
    ]
    found.sort(key=lambda results: results.started_at, reverse=True)
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}{''.join(map(_section, found))}\n{END}{after}")


def _section(results: Results) -> str:
    return _SECTION.format(
        why=results.why,
        started_at=results.started_at,
        command=results.command,
        seed=results.seed,
        rate=results.rate,
        connections=results.connections,
        workers=results.workers,
        machine=results.machine,
        disk=results.machine.disk,
        table=table(results),
    )
