"""`ingest repair`: take what is damaged out of the segments, and lose nothing else."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ingest._native import Repair, repair_directory
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.cli.tables import render_table
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY, LOCK_FILE
from ingest.errors import ExitStatus, IngestError
from ingest.journal import find_shards


def repair(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIRECTORY", help="Shards, or directories that hold some."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Take what is damaged out of the segments.

    Every intact batch stays, with its sequence numbers. The damaged file is kept beside, with
    `.damaged` behind its name, and the chain of seals records what is lost, so that `verify`
    reports it as known. Without DIRECTORY, it repairs the journal and the dead letters of the data
    directory. It refuses while a server works there. With `--dry-run` the exit status is 1 if
    anything is damaged.
    """
    places = paths or [data_dir / JOURNAL_DIRECTORY, data_dir / DEAD_DIRECTORY]
    for place in places:
        if not place.is_dir():
            raise IngestError(f"{place}: is not a directory")
    with _lock(data_dir if paths is None else None):
        repairs = [
            repair
            for place in places
            for shard in find_shards(place)
            for repair in _repair(shard, dry_run=dry_run)
        ]
    if repairs:
        headings = ("SEGMENT", "BATCHES", "EVENTS", "DAMAGED BYTES", "LOST", "DAMAGED FILE")
        typer.echo(render_table(headings, map(_row, repairs)))
    lost = sum(map(_count_lost, repairs))
    verb = "to repair" if dry_run else "repaired"
    typer.echo(f"{len(repairs):,} segments {verb}, {lost:,} events in them known to be lost")
    if dry_run and repairs:
        raise typer.Exit(ExitStatus.UNEXPECTED)


@contextmanager
def _lock(data_dir: Path | None) -> Iterator[None]:
    """Keep servers out, those that start meanwhile included."""
    if data_dir is None:
        yield  # every shard has a lock of its own
        return
    try:
        lock = os.open(data_dir / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        yield  # a copy, on which no server ever worked
        return
    try:
        _take(lock, data_dir)
        yield
    finally:
        os.close(lock)


def _take(lock: int, data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(data_dir) from None


def _repair(shard: Path, *, dry_run: bool) -> list[Repair]:
    try:
        return repair_directory(str(shard), dry_run=dry_run)
    except BlockingIOError:
        raise _in_use(shard) from None


def _in_use(directory: Path) -> IngestError:
    return IngestError(f"{directory}: a server works there; stop it first")


def _count_lost(repair: Repair) -> int:
    return sum(end - begin for begin, end in repair.missing)


def _row(repair: Repair) -> tuple[object, ...]:
    lost = _count_lost(repair) or None
    kept = repair.damaged_path and Path(repair.damaged_path).name
    return (repair.path, repair.batches, repair.events, repair.damaged_bytes, lost, kept)
