"""`ingest check`: say whether a configuration can be used, and what it comes to."""

from __future__ import annotations

import typer

from ingest.cli.options import ConfigFile


def check(config: ConfigFile = None) -> None:
    """Check the configuration and print it as TOML.

    What is in effect comes from the file, the INGEST_... variables and the defaults. A mistake is
    one line that names its place, and the exit status is 4.
    """
    # pydantic takes longer to import than `ingest status` takes to run.
    from ingest.config import load, render_toml  # noqa: PLC0415

    typer.echo(render_toml(load(config, {})), nl=False)
