"""Read the settings: flags over environment over the file over defaults.

The sources are merged here and not by pydantic-settings, so that an error can name the one that
holds the mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ingest.config.mistakes import explain, place
from ingest.config.models import Settings
from ingest.config.resolution import resolve
from ingest.config.sources import Environment, File, Flags, Source
from ingest.config.tables import ConflictError
from ingest.config.tests import check_stages
from ingest.config.tls_files import check_tls_files
from ingest.errors import ConfigurationError


class Loaded(NamedTuple):
    """Settings that can be used, and what people should know about them."""

    settings: Settings
    notes: tuple[str, ...]


def load(file: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings; raise ConfigurationError, with one line, where they are wrong."""
    return load_with_notes(file, overrides).settings


def load_with_notes(file: Path | None, overrides: Mapping[str, Any]) -> Loaded:
    """Return the settings and notes on them, a line each."""
    sources: list[Source] = [Flags(overrides), Environment()]
    if file is not None:
        sources.append(File(file))
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        merged = _merge(merged, source.values)
    try:
        settings = Settings(**merged)
        pipeline, notes = resolve(settings.pipeline)
        check_stages(settings.tests, pipeline)
        check_tls_files(settings.listeners)
    except ValidationError as error:
        raise ConfigurationError(explain(error, sources)) from None
    except ConflictError as error:
        raise ConfigurationError(f"{place(error.path, sources)}: {error}") from None
    return Loaded(settings.model_copy(update={"pipeline": pipeline}), notes)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; tables are merged key by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(under, value)
        else:
            merged[key] = value
    return merged
