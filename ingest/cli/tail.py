"""`ingest tail`: print the newest stored lines, and go on with what is stored from then on."""

from __future__ import annotations

import select
import sys
from typing import Annotated

import typer

from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from ingest.errors import IngestError
from ingest.journal import Tail

_POLL_MILLISECONDS = 50


def tail(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what is stored from now on.")
    ] = False,
    count: Annotated[
        int, typer.Option("-n", "--lines", min=0, metavar="N", help="How many lines.")
    ] = 10,
    dead: Annotated[bool, typer.Option("--dead", help="Show the dead letters instead.")] = False,
) -> None:
    """Print the last stored events as NDJSON.

    Events of all shards stand in the order of their arrival. It reads the files, so it also works
    where no server is running.
    """
    if not data_dir.is_dir():
        raise IngestError(f"{data_dir}: is not a data directory")
    tail = Tail(data_dir / (DEAD_DIRECTORY if dead else JOURNAL_DIRECTORY), warn=_warn)
    try:
        _write(tail.last(count))
        while follow:
            if lines := tail.new():
                _write(lines)
            elif _reader_is_gone(_POLL_MILLISECONDS):
                return
    except (KeyboardInterrupt, BrokenPipeError):
        return  # Ctrl-C, or a reader that has seen enough: both are how it usually ends


def _write(lines: bytes) -> None:
    """Write everything; with PYTHONUNBUFFERED even `sys.stdout.buffer` may write only a part."""
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        output.write(lines)


def _reader_is_gone(wait_milliseconds: int) -> bool:
    """Wait, but not longer than somebody reads what we print."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # an error is always reported, and nothing else asked
    return any(event & select.POLLERR for _, event in poll.poll(wait_milliseconds))


def _warn(text: str) -> None:
    typer.echo(f"ingest: {text}", err=True)
