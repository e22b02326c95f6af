"""`ingest verify`: read every segment and say what is damaged, or was changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ingest._native import Audit, SegmentReport, audit_directory, verify_directory
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.cli.tables import render_table
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from ingest.errors import ExitStatus, IngestError
from ingest.journal import find_shards

_NO_DAMAGE = {"known_gap", "torn_tail"}


def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIRECTORY", help="Shards, or directories that hold some."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    chain: Annotated[
        bool, typer.Option("--chain", help="Also compare closed segments with their seals.")
    ] = False,
    heads: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="DIGEST",
            help="Like --chain, which printed this before: require it to be in a chain still.",
        ),
    ] = None,
) -> None:
    """Check every segment for damage.

    That is checksums, sequence numbers and counts. Without DIRECTORY, it checks the journal and the
    dead letters of the data directory. The exit status is 1 if anything is damaged. A tail that
    was being written is not damage, nor are events missing that `ingest repair` reported as lost.

    With `--chain` it is also 1 if a segment is not what it was when it was closed, or is not there,
    unless all older ones are gone too. It prints the head of each chain: kept elsewhere and given
    as `--head` later, it proves that nothing before it was exchanged together with its seals.
    """
    places = paths or [data_dir / JOURNAL_DIRECTORY, data_dir / DEAD_DIRECTORY]
    shards = list(_find(places))
    damaged = _verify(shards)
    changed = _audit(shards, heads or []) if chain or heads else 0
    if damaged or changed:
        raise typer.Exit(ExitStatus.UNEXPECTED)


def _find(places: list[Path]) -> Iterator[Path]:
    for place in places:
        if not place.is_dir():
            raise IngestError(f"{place}: is not a directory")
        yield from find_shards(place)


def _verify(shards: list[Path]) -> int:
    """Print what is in the segments; return how many are damaged."""
    reports = [report for shard in shards for report in verify_directory(str(shard))]
    rows = [
        (
            report.path,
            report.first_sequence,
            report.batches,
            report.events,
            report.bytes,
            _describe(report),
        )
        for report in reports
    ]
    if rows:
        typer.echo(render_table(("SEGMENT", "FIRST", "BATCHES", "EVENTS", "BYTES", "STATE"), rows))
    damaged = sum(map(_is_damaged, reports))
    events = sum(report.events for report in reports)
    typer.echo(f"{len(reports):,} segments, {events:,} events, {damaged:,} segments damaged")
    return damaged


def _audit(shards: list[Path], heads: list[str]) -> int:
    """Print what the chains say; return how much is wrong with them."""
    audits = [(shard, audit_directory(str(shard), heads)) for shard in shards]
    headings = ("SHARD", "SEALS", "GOOD", "UNSEALED", "DELETED", "HEAD")
    if audits:
        typer.echo(render_table(headings, [_row(shard, audit) for shard, audit in audits]))
    findings = [f"{path}: {words}" for _, audit in audits for path, words in sorted(audit.findings)]
    known = {digest for _, audit in audits for digest in audit.known}
    findings += [f"{head}: is in no chain" for head in heads if head not in known]
    for _, audit in audits:
        for path in audit.repaired:
            typer.echo(f"{path}: was repaired; it is not what was sealed at first")
    for finding in findings:
        typer.echo(finding)
    sealed = sum(audit.good for _, audit in audits)
    typer.echo(f"{sealed:,} segments as they were sealed, {len(findings):,} faults in the chains")
    return len(findings)


def _row(shard: Path, audit: Audit) -> tuple[object, ...]:
    return (shard, audit.seals, audit.good, audit.unsealed, audit.deleted, audit.head)


def _is_damaged(report: SegmentReport) -> bool:
    return any(kind not in _NO_DAMAGE for kind, _, _ in report.findings)


def _describe(report: SegmentReport) -> str:
    if not report.findings:
        return "good"
    return "; ".join(
        f"{kind.replace('_', ' ')} at byte {offset:,}: {words}"
        for kind, offset, words in report.findings
    )
