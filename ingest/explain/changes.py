"""The difference of two events, as the places that are not the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ingest.explain.report import Change
from ingest.pipeline.paths import Path, written

Json = Any


def difference(before: Json, after: Json) -> tuple[Change, ...]:
    """Return the smallest parts that differ, in the order in which they stand in `before`."""
    return tuple(_compare((), before, after))


def _compare(path: Path, before: Json, after: Json) -> Iterator[Change]:
    if type(before) is dict and type(after) is dict:
        for key in before | after:
            yield from _compare((*path, key), before.get(key, UNSET), after.get(key, UNSET))
    elif type(before) is list and type(after) is list:
        for at, (one, other) in enumerate(zip_longest(before, after, fillvalue=UNSET)):
            yield from _compare((*path, at), one, other)
    # In JSON, 1 and true are not the same.
    elif type(before) is not type(after) or before != after:
        yield Change(written(path), _raw(before), _raw(after))


def _raw(value: Json | UnsetType) -> Raw | UnsetType:
    return UNSET if value is UNSET else Raw(msgspec.json.encode(value))
