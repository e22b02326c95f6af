"""Write settings as the TOML file that would give them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ingest.config.models import Settings

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def render_toml(settings: Settings) -> str:
    """Return the settings, defaults and all; a key that is not set is left out."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return "\n".join(_table("", values)) + "\n"


def written_key(key: str) -> str:
    """Return a key as it is written in TOML: in quotes where it is not made of plain characters."""
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if not isinstance(value, dict) and not _is_tables(value):
            yield f"{written_key(key)} = {_value(value)}"
    for key, value in values.items():
        path = f"{name}.{written_key(key)}".removeprefix(".")
        if isinstance(value, dict):
            if not value or any(not isinstance(at, dict) for at in value.values()):
                yield from ("", f"[{path}]")
            yield from _table(path, value)
        elif _is_tables(value):
            for entry in value:
                yield from ("", f"[[{path}]]", *_table(path, entry))


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(at, dict) for at in value)


def _value(value: object) -> str:
    match value:
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            pairs = (f"{written_key(key)} = {_value(at)}" for key, at in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return _text(value)


def _text(value: object) -> str:
    # A JSON string, number or boolean is also one of TOML, but for the DEL character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
