"""How a place in an event is written: `data.users[0].email`, odd keys like `data["a.b"]`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

ANY_POSITION = -1
"""Stands in a path for every position of a list, written `[*]`."""

_PLAIN_KEY = re.compile(r"[^\s.\[\]\"]+")
_PART = re.compile(
    r'\.?(?P<key>[^\s.\[\]"]+)|\[(?P<position>\d+|\*)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]'
)


def written(path: Path) -> str:
    """Return a path as people write it."""
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append("[*]" if part == ANY_POSITION else f"[{part}]")
        elif _PLAIN_KEY.fullmatch(part):
            parts.append(f".{part}")
        else:
            parts.append(f"[{json.dumps(part, ensure_ascii=False)}]")
    return "".join(parts).removeprefix(".")


def parse(text: str) -> Path:
    """Return the path that is written so; raise ValueError where it is none."""
    path: list[str | int] = []
    at = 0
    while at < len(text) or not path:
        part = _PART.match(text, at)
        # A dot stands between keys, and nowhere else.
        if part is None or (part["key"] and (text[at] == ".") != (at > 0)):
            raise ValueError(f'"{text}" is not a path; write it like "data.users[0].email"')
        if part["position"]:
            path.append(ANY_POSITION if part["position"] == "*" else int(part["position"]))
        else:
            path.append(part["key"] or json.loads(part["quoted"]))
        at = part.end()
    return tuple(path)


def find(value: object, path: Path) -> Iterator[Any]:
    """Yield the values that stand at a path."""
    if not path:
        yield value
        return
    first, rest = path[0], path[1:]
    match value, first:
        case dict(), str() if first in value:
            yield from find(value[first], rest)
        case list(), int():
            items = value if first == ANY_POSITION else value[first : first + 1]
            for item in items:
                yield from find(item, rest)
