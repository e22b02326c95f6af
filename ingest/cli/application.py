"""Put the commands together, and turn expected faults into one line and an exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ingest import __version__
from ingest.cli.check import check
from ingest.cli.dead import dead
from ingest.cli.plugins import plugins
from ingest.cli.reload import reload
from ingest.cli.repair import repair
from ingest.cli.send import send
from ingest.cli.serve import serve
from ingest.cli.status import status
from ingest.cli.tail import tail
from ingest.cli.verify import verify
from ingest.errors import ExitStatus, IngestError

application = typer.Typer(
    name="ingest",
    help="Take in log events, store each of them, and account for every one.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is one line, not a box
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (serve, check, reload, plugins, status, tail, verify, repair, send):
    application.command()(command)
application.add_typer(dead, name="dead")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fapilog-ingest {__version__}")
        raise typer.Exit


@application.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        application(prog_name="ingest")
    except IngestError as error:
        typer.echo(f"ingest: {error}", err=True)
        sys.exit(error.exit_status)
    except OSError as error:  # of a file or a directory that the user named
        typer.echo(f"ingest: {error}", err=True)
        sys.exit(ExitStatus.UNEXPECTED)
