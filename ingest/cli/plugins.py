"""`ingest plugins`: list the stages that a pipeline can name."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from ingest.cli.tables import render_table


def plugins(
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the schema of each one's settings.")
    ] = False,
) -> None:
    """List the built-in stages and the installed plugins.

    Installed are those of the entry-point groups fapilog.filters, fapilog.enrichers,
    fapilog.redactors and fapilog.processors. Each is made with its default settings and asked for
    its health. One that cannot be used is shown with the reason, which may be no more than a
    setting that it needs.
    """
    # pydantic takes longer to import than `ingest status` takes to run.
    from ingest.config.plugins import available_plugins  # noqa: PLC0415

    found = available_plugins()
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    rows = [
        (at.kind, at.name, at.runs, at.version, at.health, at.reason or at.description)
        for at in found
    ]
    typer.echo(render_table(("KIND", "NAME", "RUNS", "VERSION", "HEALTH", "DESCRIPTION"), rows))
