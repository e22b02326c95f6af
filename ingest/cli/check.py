"""`ingest check`: say whether a configuration can be used, and what it comes to."""

from __future__ import annotations

import typer

from ingest.cli.options import ConfigFile


def check(config: ConfigFile = None) -> None:
    """Check the configuration and print it as TOML.

    What is in effect comes from the file, the INGEST_... variables and the defaults. Presets are
    written out, and comments at the end say what runs in Python and why. A mistake is one line that
    names its place, and the exit status is 4.
    """
    # pydantic takes longer to import than `ingest status` takes to run.
    from ingest.config import load_with_notes, render_toml  # noqa: PLC0415

    settings, notes = load_with_notes(config, {})
    typer.echo(render_toml(settings), nl=False)
    if notes:
        typer.echo("\n" + "\n".join(f"# {note}" for note in notes))
