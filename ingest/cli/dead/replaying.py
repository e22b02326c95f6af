"""`ingest dead replay`: send dead letters again, each once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated

import typer

from ingest._native import Region
from ingest.cli.dead.destinations import Destinations
from ingest.cli.dead.selection import (
    Listeners,
    Peers,
    Reasons,
    Selection,
    Since,
    Until,
    dead_directory,
    parse_identities,
    select,
    warn,
)
from ingest.cli.dead.sending import Mode, Sending
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.errors import ExitStatus, IngestError
from ingest.journal import (
    DeadLetter,
    DeadLetters,
    Identity,
    StoredLetter,
    open_replays,
    read_replays,
)

_DURABLE = "ingest_journal_durable_sequence"


def replay(
    *,
    identities: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Those to send, like 0-1234; none given: all."),
    ] = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    peer: Peers = None,
    listener: Listeners = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="LISTENER",
            help="Send to this listener of the server, or to the TCP listener at HOST:PORT.  "
            "[default: each to the listener that it came from]",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also send what was replayed before.")
    ] = False,
    unconfirmed: Annotated[
        bool,
        typer.Option(
            "--unconfirmed",
            help="Also send what was sent before and may or may not have arrived.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Send dead letters again, through the pipeline that is in force now.

    Each arrives as the same bytes in one frame, but from here and now: the time of arrival and the
    address are those of the replay. Of an event at which a plugin failed it is the event as that
    plugin got it. It waits until the server has stored them, and takes note in the data directory,
    so that the next replay sends only the rest.

    Not sent is what is not all there: letters from which something was masked, the beginnings of
    lines that were too long, and incomplete frames. The exit status is 1 if of some it is not
    known whether they arrived, or some had nowhere to go.
    """
    directory = dead_directory(data_dir)
    wanted = parse_identities(identities)
    selection = select(reason, listener, peer, since, until)
    destinations = Destinations(data_dir, to)
    letters = DeadLetters(directory, warn)
    _leave_out_what_is_not_durable(letters, destinations.region)
    replays = read_replays(directory)
    mode = Mode(again=again, unconfirmed=unconfirmed or again)
    with ExitStack() as stack:
        log = None
        if not dry_run and letters.ends:
            log = stack.enter_context(open_replays(directory))
            replays = log.replays
        sending = Sending(destinations, replays, log, mode)
        chosen = _chosen(letters, wanted, selection)
        try:
            for stored in chosen:
                sending.add(stored)
            sending.finish()
        finally:  # also when it is interrupted, or the disk is full
            typer.echo("\n".join(sending.report()))
    if not (dry_run or sending.is_complete):
        raise typer.Exit(ExitStatus.UNEXPECTED)


def _leave_out_what_is_not_durable(letters: DeadLetters, region: Region | None) -> None:
    """Leave out what a dying machine may take back: its identity goes to another letter."""
    if region is None:
        return
    for shard in letters.ends:
        if shard < region.workers:
            letters.cut(shard, region.get(shard, _DURABLE, label="dead"))


def _chosen(
    letters: DeadLetters, wanted: list[Identity], selection: Selection
) -> Iterator[StoredLetter]:
    if wanted:
        found = iter([StoredLetter(identity, _find(letters, identity)) for identity in wanted])
    else:
        found = letters.read(since_ns=selection.since_ns)
    return (stored for stored in found if selection.matches(stored.letter))


def _find(letters: DeadLetters, identity: Identity) -> DeadLetter:
    letter = letters.find(identity)
    if letter is None:
        raise IngestError(f"there is no dead letter {identity}, or it is not yet on the disk")
    return letter
