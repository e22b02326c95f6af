"""`ingest serve`: run the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest.cli.options import ConfigFile


def serve(
    *,
    config: ConfigFile = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where journals are kept.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="How many worker processes.")
    ] = None,
    tcp: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Listen for TCP here. May be repeated."),
    ] = None,
    udp: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Listen for UDP here. May be repeated."),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve metrics, health and status here."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="auto, json or pretty.")
    ] = None,
) -> None:
    """Run the server until SIGTERM or SIGINT.

    The first signal lets it store what it has read, a second one ends it at once. SIGHUP has it
    read its configuration again, SIGUSR1 has it replace its workers, both without a gap.

    Flags win over INGEST_... variables, these over the file, and the file over the defaults. An
    address flag replaces all configured listeners.
    """
    # pydantic takes longer to import than `ingest status` takes to run.
    from ingest import supervisor  # noqa: PLC0415
    from ingest.config import load  # noqa: PLC0415
    from ingest.config.flags import settings_from_flags  # noqa: PLC0415

    overrides = settings_from_flags(
        data_dir=data_dir,
        workers=workers,
        tcp=tcp or (),
        udp=udp or (),
        admin=admin,
        log_level=log_level,
        log_format=log_format,
    )
    raise typer.Exit(supervisor.run(lambda: load(config, overrides)))
