"""Write settings as the TOML file that would give them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ingest.config.models import Settings


def render_toml(settings: Settings) -> str:
    """Return the settings, defaults and all; a key that is not set is left out."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return "\n".join(_table("", values)) + "\n"


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if not isinstance(value, dict | list):
            # A JSON string, number or boolean is also one of TOML, but for the DEL character.
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            yield f"{key} = {text}"
    for key, value in values.items():
        path = f"{name}.{key}".removeprefix(".")
        if isinstance(value, dict):
            yield from ("", f"[{path}]", *_table(path, value))
        elif isinstance(value, list):
            for entry in value:
                yield from ("", f"[[{path}]]", *_table(path, entry))
