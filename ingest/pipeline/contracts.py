"""What fapilog's kinds of plugins are given, and what they may return.

A drive calls a plugin for one event after the other. Awaited in a coroutine, a plugin that never
suspends costs no task and no exception, and one that does suspends us with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from ingest.pipeline.budget import Watch
from ingest.pipeline.exchange import StageCounts

Event = dict[str, Any]
Plugin = Any
"""An object with the methods of its kind, which are all that is known of it."""
Returned = Any
"""What a plugin returns, until somebody has looked."""
Json = Any

MASK = "***"
"""What stands in place of every value of an event that could not be redacted."""

_decode = msgspec.json.Decoder().decode


class ContractError(Exception):
    """A plugin returned what its kind must not return; the text says nothing of the event."""


async def drive_filter(
    call: Callable[[Event], Awaitable[Returned]],
    events: Iterable[Event],
    results: list[Event | None],
    watch: Watch,
) -> None:
    """Append what a filter makes of each event, or None for one that it drops."""
    append = results.append
    for event in events:
        result = await call(dict(event))
        if type(result) is not dict and result is not None:
            result = _as_dict(result)
        append(result)
        if watch.due:
            await watch.pause()


async def drive_enricher(
    call: Callable[[Event], Awaitable[Returned]],
    events: Iterable[Event],
    results: list[Event | None],
    watch: Watch,
) -> None:
    """Append what an enricher has to add to each event."""
    append = results.append
    for event in events:
        result = await call(dict(event))
        if type(result) is not dict:
            result = _as_dict(result)
        append(result)
        if watch.due:
            await watch.pause()


async def drive_redactor(
    call: Callable[[Event], Awaitable[Returned]],
    events: Iterable[Event],
    results: list[Event | None],
    watch: Watch,
    *,
    plugin: Plugin,
    counts: StageCounts,
) -> None:
    """Append what a redactor makes of each event; count what it says it has masked."""
    append = results.append
    for event in events:
        result = await call(event)
        if type(result) is not dict:
            result = _as_dict(result)
        masked = getattr(plugin, "last_redacted_count", 0)
        if masked and type(masked) is int:
            counts.redacted += masked
        append(result)
        if watch.due:
            await watch.pause()


async def drive_processor(
    call: Callable[[memoryview], Awaitable[Returned]],
    views: Iterable[memoryview],
    results: list[bytes | None],
    watch: Watch,
) -> None:
    """Append what a processor makes of each line, or None for one that stays as it is."""
    append = results.append
    for view in views:
        result = await call(view)
        append(None if result is view else _as_line(result))
        if watch.due:
            await watch.pause()


DRIVES = frozenset(
    drive.__code__ for drive in (drive_filter, drive_enricher, drive_redactor, drive_processor)
)


def deep_merge(event: Mapping[str, Any], update: Mapping[str, Any]) -> Event:
    """Return the event with the update in it, as fapilog merges: objects in objects, else over."""
    merged = dict(event)
    for key, value in update.items():
        current = merged.get(key)
        if isinstance(current, dict) and isinstance(value, dict):
            merged[key] = deep_merge(current, value)
        else:
            merged[key] = value
    return merged


def mask_all(value: Json) -> Json:
    """Return the structure of a JSON value, without any of its scalars."""
    if isinstance(value, dict):
        return {key: mask_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask_all(item) for item in value]
    return MASK


def _as_dict(result: Returned) -> Event:
    if isinstance(result, Mapping):
        return dict(result)
    raise ContractError(f"returned {type(result).__name__} instead of a mapping")


def _as_line(result: Returned) -> bytes:
    if not isinstance(result, (memoryview, bytes, bytearray)):
        raise ContractError(f"returned {type(result).__name__} instead of a memoryview")
    line = bytes(result)
    if b"\n" in line or b"\r" in line:
        raise ContractError("returned more than one line")
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Not chained: the text of the error may quote the event.
        raise ContractError("returned what is not JSON") from None
    if type(event) is not dict:
        raise ContractError("returned what is not a JSON object")
    return line
