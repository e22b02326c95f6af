"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA_DIR = Path("ingest-data")

DataDir = Annotated[
    Path,
    typer.Option(metavar="DIR", envvar="INGEST_DATA_DIR", help="The data directory of the server."),
]

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration, a TOML file."),
]
