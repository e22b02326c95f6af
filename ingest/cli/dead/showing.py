"""`ingest dead show`: all that is stored of one dead letter."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ingest.cli.dead.rendering import as_json, as_object, page
from ingest.cli.dead.selection import dead_directory, parse_identities, warn
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.errors import IngestError
from ingest.journal import DeadLetters, StoredLetter, read_replays


def show(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="Its shard and sequence number, like 0-1234.")
    ],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the bytes that are kept, and nothing else.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    r"""Show all that is stored of a dead letter.

    The line stands at the end, as one line with escapes like \n and \x1b for what is not printable.
    """
    if raw and json:
        raise typer.BadParameter("give either --raw or --json")
    directory = dead_directory(data_dir)
    [wanted] = parse_identities([identity])
    letter = DeadLetters(directory, warn).find(wanted)
    if letter is None:
        raise IngestError(f"there is no dead letter {wanted} in {data_dir}")
    if raw:
        with open(sys.stdout.fileno(), "wb", closefd=False) as output:
            output.write(letter.line)
        return
    state = read_replays(directory).state(wanted)
    if json:
        typer.echo(as_json(as_object(StoredLetter(wanted, letter), state), indent=2))
    else:
        typer.echo(page(wanted, letter, state))
