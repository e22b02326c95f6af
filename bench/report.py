"""Writes what was measured: all of it as JSON, and a page for people."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench import distribution, pipeline_table
from bench.acknowledging import Acknowledging
from bench.connections import Case
from bench.figures import Summary, spread
from bench.group_commit import GroupCommit
from bench.machine import Machine
from bench.network.cases import NetworkCase
from bench.pipelines import CONNECTIONS, Rounds
from bench.soak import Soak

_MIB = 1024 * 1024

_HEAD = """\
# {why}

{started_at}, commit `{commit}`, `{command}`{settings}.

Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel},
governor {governor}, Python {machine.python}, {machine.rustc}.

Disk: {disk.filesystem} on {disk.source}, {disk.sequential_mb_per_second:.0f} MB/s written in
sequence and synced, one fdatasync p50 {disk.sync_p50_ms} ms.
"""

_CONNECTIONS = """
## Connections

TCP to durable journal without a pipeline, the generator on the same machine: medians of {runs}
runs, least to most in brackets. Every run ended with a closed ledger and received = journaled =
sent.

| connections | events/s until durable | server CPU-s per million | peak RSS, MiB | generator CPU-s per million |
|---:|---:|---:|---:|---:|
{rows}

### Latency

Milliseconds from sending an event to having it durable, at half of the median rate above, for
every event.

{percentiles}

{histogram}
"""  # noqa: E501 - a row of a table is one line

_PIPELINES = """
## Pipelines

TCP to durable journal over {connections} connections, the generator on the same machine, and
fapilog's own worker beside it: medians of {runs} rounds, least to most in brackets. Ratios are of
figures of the same round. Rates and costs are of events received; all cases but `none` drop the one
in five that is DEBUG. Every run ended with a closed ledger and received = journaled + filtered =
sent. What is compared, and how fair that is, stands in `docs/bench.md`.

{table}
"""


_NETWORK = """
## Network edge

{sections}"""


class Results(msgspec.Struct, frozen=True):
    """Everything about one run of `make bench`."""

    why: str
    started_at: str
    command: str
    environment: dict[str, str]
    machine: Machine
    cases: list[Case]
    """Numbers of connections."""
    rounds: Rounds | None
    """Pipelines and fapilog."""
    network: list[NetworkCase]
    """The network edge."""
    group_commit: GroupCommit | None
    """With syncs and without."""
    acknowledging: Acknowledging | None
    """Requests that wait until they are durable."""
    soak: Soak | None
    """A long run under faults."""


def write(results: Results, directory: Path) -> None:
    """Write results.json and README.md into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    (directory / "results.json").write_bytes(text + b"\n")
    (directory / "README.md").write_text(page(results))


def page(results: Results) -> str:
    """Return the page for people."""
    parts = [_head(results)]
    if results.cases:
        runs = max(len(case.runs) for case in results.cases)
        rows = "\n".join(_row(case) for case in results.cases)
        latencies = [(_at_half_load(case), case.latency_ms) for case in results.cases]
        parts.append(
            _CONNECTIONS.format(
                runs=runs,
                rows=rows,
                percentiles=distribution.percentiles("connections", latencies),
                histogram=distribution.histogram(latencies),
            )
        )
    if results.rounds is not None:
        parts.append(
            _PIPELINES.format(
                connections=CONNECTIONS,
                runs=len(results.rounds.fapilog[0].runs),
                table=pipeline_table.table(results.rounds),
            )
        )
    if results.network:
        sections = "\n".join(case.section() for case in results.network)
        parts.append(_NETWORK.format(sections=sections))
    if results.group_commit is not None:
        parts.append(results.group_commit.section())
    if results.acknowledging is not None:
        parts.append(results.acknowledging.section())
    if results.soak is not None:
        parts.append(results.soak.section())
    return "".join(parts)


def _head(results: Results) -> str:
    machine = results.machine
    settings = "".join(f" {name}={value}" for name, value in sorted(results.environment.items()))
    return _HEAD.format(
        why=results.why,
        started_at=results.started_at,
        commit=machine.commit,
        command=results.command,
        settings=f" with `{settings.strip()}`" if settings else "",
        machine=machine,
        governor=machine.governor or "not visible",
        disk=machine.disk,
    )


def _row(case: Case) -> str:
    generator = max(run.generator_cpu_seconds_per_million for run in case.runs)
    resident = case.peak_resident_bytes
    cells = [
        str(case.connections),
        spread(case.events_per_second, ",.0f"),
        spread(case.cpu_seconds_per_million, ".2f"),
        spread(Summary(*(value / _MIB for value in msgspec.structs.astuple(resident))), ".0f"),
        f"{generator:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _at_half_load(case: Case) -> str:
    return f"{case.connections:,}, {case.latency_rate:,.0f} events/s"
