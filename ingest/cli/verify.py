"""`ingest verify`: read every segment and say what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ingest._native import SegmentReport, verify_directory
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.cli.tables import render_table
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from ingest.errors import ExitStatus, IngestError
from ingest.journal import find_shards

_UNFINISHED = "torn_tail"


def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIRECTORY", help="Shards, or directories that hold some."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Check every segment for damage.

    That is checksums, sequence numbers and counts. Without DIRECTORY, it checks the journal and the
    dead letters of the data directory. The exit status is 1 if anything is damaged. A tail that
    was being written is not damage.
    """
    places = paths or [data_dir / JOURNAL_DIRECTORY, data_dir / DEAD_DIRECTORY]
    reports = list(_verify(places))
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
    if damaged:
        raise typer.Exit(ExitStatus.UNEXPECTED)


def _verify(places: list[Path]) -> Iterator[SegmentReport]:
    for place in places:
        if not place.is_dir():
            raise IngestError(f"{place}: is not a directory")
        for shard in find_shards(place):
            yield from verify_directory(str(shard))


def _is_damaged(report: SegmentReport) -> bool:
    return any(kind != _UNFINISHED for kind, _, _ in report.findings)


def _describe(report: SegmentReport) -> str:
    if not report.findings:
        return "good"
    return "; ".join(
        f"{kind.replace('_', ' ')} at byte {offset:,}: {words}"
        for kind, offset, words in report.findings
    )
