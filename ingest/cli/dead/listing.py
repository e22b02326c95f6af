"""`ingest dead list`: a line for each dead letter, or how many there are of each reason."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated

import msgspec
import typer

from ingest.cli.dead.rendering import as_json, as_object, describe_state, printable
from ingest.cli.dead.selection import (
    Listeners,
    Peers,
    Reasons,
    Since,
    Until,
    dead_directory,
    select,
    warn,
)
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.cli.tables import render_table
from ingest.journal import DeadLetters, Replays, StoredLetter, read_replays

_PAGE_ROWS = 1000
"""The columns of so many rows are aligned; more are never held."""
_BEGINNING_BYTES = 60
_HEADINGS = ("RECEIVED", "ID", "REASON", "STAGE", "LISTENER", "PEER", "LENGTH", "STATE", "LINE")


class _Count(msgspec.Struct):
    """How many dead letters there are of one reason, and when the first and the last came."""

    letters: int
    first: str
    last: str


def list_(
    *,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    peer: Peers = None,
    listener: Listeners = None,
    count: Annotated[
        bool, typer.Option("--count", help="Only say how many there are of each reason.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, an object for each line.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    r"""List the dead letters in the order of their arrival.

    Of each line it shows the beginning, with escapes like \x1b for what is not printable. STATE is
    what `replay` knows of it: new; replayed; unconfirmed, when it was sent and nobody knows
    whether it arrived; masked, truncated or incomplete, when what was sent cannot be restored.

    It reads the files, so it also works where no server is running.
    """
    directory = dead_directory(data_dir)
    selection = select(reason, listener, peer, since, until)
    replays = read_replays(directory)
    found = (
        stored
        for stored in DeadLetters(directory, warn).read(since_ns=selection.since_ns)
        if selection.matches(stored.letter)
    )
    if count:
        _print_counts(_count(found), json=json)
    elif json:
        for stored in found:
            typer.echo(as_json(as_object(stored, replays.state(stored.identity))))
    else:
        while rows := [_row(stored, replays) for stored in islice(found, _PAGE_ROWS)]:
            typer.echo(render_table(_HEADINGS, rows))


def _row(stored: StoredLetter, replays: Replays) -> tuple[object, ...]:
    identity, letter = stored
    line = letter.line
    cells = [letter.reason, letter.stage, letter.listener, letter.peer]
    return (
        letter.received_at,
        str(identity),
        *(None if cell is None else printable(cell.encode()) for cell in cells),
        letter.length,
        describe_state(letter, replays.state(identity)),
        printable(line[:_BEGINNING_BYTES]) + ("…" if len(line) > _BEGINNING_BYTES else ""),
    )


def _count(found: Iterable[StoredLetter]) -> dict[str, _Count]:
    counts: dict[str, _Count] = {}
    for _, letter in found:
        at = letter.received_at
        counted = counts.setdefault(letter.reason, _Count(0, at, at))
        counted.letters += 1
        counted.last = at
    return dict(sorted(counts.items(), key=lambda item: -item[1].letters))


def _print_counts(counts: dict[str, _Count], *, json: bool) -> None:
    if json:
        typer.echo(as_json(msgspec.to_builtins(counts)))
        return
    rows = [(reason, at.letters, at.first, at.last) for reason, at in counts.items()]
    typer.echo(render_table(("REASON", "LETTERS", "FIRST", "LAST"), rows))
