"""Writes what was measured: all of it as JSON, and a page for people."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench import matrix_page, scaling
from bench.acknowledging import Acknowledging
from bench.case_result import CaseResult
from bench.group_commit import GroupCommit
from bench.limits.measure import LimitsResult
from bench.machine import Machine
from bench.network.cases import NetworkCase
from bench.peers import page as peers_page
from bench.peers.results import PeersResult
from bench.scaling import ScalingCase
from bench.soak import Soak

_HEAD = """\
# {why}

{started_at}, commit `{commit}`, `{command}`{settings}.

Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel},
governor {governor}, Python {machine.python}, {machine.rustc}.

Disk: {disk.filesystem} on {disk.source}, {disk.sequential_mb_per_second:.0f} MB/s written in
sequence and synced, one fdatasync p50 {disk.sync_p50_ms} ms.
"""

_NETWORK = """
## Network edge

{sections}"""


_FAILED = """
## Failed

Of these parts there is no figure.

{failures}
"""


class Results(msgspec.Struct, frozen=True):
    """Everything about one run of `make bench`."""

    why: str
    started_at: str
    command: str
    environment: dict[str, str]
    machine: Machine
    matrix: list[CaseResult]
    """The cases of bench/matrix.py."""
    network: list[NetworkCase]
    """The network edge."""
    group_commit: GroupCommit | None
    """With syncs and without."""
    acknowledging: Acknowledging | None
    """Requests that wait until they are durable."""
    soak: Soak | None
    """A long run under faults."""
    peers: PeersResult | None = None
    """Other programs at the same jobs."""
    limits: LimitsResult | None = None
    """Programs by hand that do a part of the job."""
    scaling: list[ScalingCase] = []
    """With more of something."""
    failures: dict[str, str] = {}
    """Why there is no figure, by the parts that failed as a whole."""


def write(results: Results, directory: Path) -> None:
    """Write results.json and README.md into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    (directory / "results.json").write_bytes(text + b"\n")
    (directory / "README.md").write_text(page(results))


def page(results: Results) -> str:
    """Return the page for people."""
    parts = [_head(results)]
    if results.matrix:
        parts.append(matrix_page.section(results.matrix, results.limits))
    if results.network:
        sections = "\n".join(case.section() for case in results.network)
        parts.append(_NETWORK.format(sections=sections))
    if results.group_commit is not None:
        parts.append(results.group_commit.section())
    if results.acknowledging is not None:
        parts.append(results.acknowledging.section())
    if results.peers is not None:
        parts.append(peers_page.section(results.peers))
    if results.limits is not None:
        parts.append(results.limits.section())
    if results.soak is not None:
        parts.append(results.soak.section())
    if results.scaling:
        parts.append(scaling.section(results.scaling))
    if results.failures:
        failures = "\n".join(f"- {name}: {why}" for name, why in results.failures.items())
        parts.append(_FAILED.format(failures=failures))
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
