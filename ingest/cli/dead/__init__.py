"""`ingest dead`: look at the dead letters, and send them again."""

from __future__ import annotations

import typer

from ingest.cli.dead.listing import list_
from ingest.cli.dead.replaying import replay
from ingest.cli.dead.showing import show

dead = typer.Typer(
    help="Look at the dead letters, and send them again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
dead.command("list")(list_)
dead.command()(show)
dead.command()(replay)

__all__ = ["dead"]
