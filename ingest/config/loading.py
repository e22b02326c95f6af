"""Read the settings: flags over environment over the file over defaults.

The sources are merged here and not by pydantic-settings, so that an error can name the one that
holds the mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ingest.config.mistakes import explain
from ingest.config.models import Settings
from ingest.config.sources import Environment, File, Flags, Source
from ingest.errors import ConfigurationError


def load(file: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings; raise ConfigurationError, with one line, where they are wrong."""
    sources: list[Source] = [Flags(overrides), Environment()]
    if file is not None:
        sources.append(File(file))
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        merged = _merge(merged, source.values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise ConfigurationError(explain(error, sources)) from None


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
