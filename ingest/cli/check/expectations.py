"""Compare what became of an event with what a test expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from ingest.config.tests import as_event
from ingest.explain.changes import difference
from ingest.explain.report import Change, Explanation, Result
from ingest.pipeline import paths
from ingest.pipeline.catalogue import canonical

if TYPE_CHECKING:
    from ingest.config.tests import PipelineTest

Event = dict[str, Any]


def mismatches(test: PipelineTest, found: Explanation) -> list[str]:
    """Return a line for each thing that is not as the test expects; none where it passes."""
    result = found.result
    return [*_outcome(test, found), *_secrets(test, result)]


def _outcome(test: PipelineTest, found: Explanation) -> Iterator[str]:
    result = found.result
    by = f" by {test.by}" if test.by else ""
    is_by = test.by is None or result.stage == canonical(test.by)
    told = _describe(found)
    if test.drop:
        if result.outcome not in {"filtered", "dropped"} or not is_by:
            yield f"expected to be dropped{by}, was {told}"
    elif test.rejected is not None:
        if result.reason != test.rejected or result.outcome != "dead_letter" or not is_by:
            yield f"expected to be a dead letter{by}: {test.rejected}, was {told}"
    elif test.expected is not None or test.contains is not None or test.absent:
        if result.outcome != "stored" or result.text is None:
            yield f"expected to be stored, was {told}"
        else:
            yield from _event(test, msgspec.json.decode(result.text))


def _event(test: PipelineTest, stored: Event) -> Iterator[str]:
    if test.expected is not None:
        yield from map(_describe_change, difference(as_event(test.expected), stored))
    if test.contains is not None:
        for change in difference(as_event(test.contains), stored):
            if change.before is not UNSET or change.is_of_list:
                yield _describe_change(change)
    for path in test.absent:
        for value in paths.find(stored, paths.parse(path)):
            yield f"{path}: expected to be absent, is {_text(value)}"


def _secrets(test: PipelineTest, result: Result) -> Iterator[str]:
    text = result.text or ""
    for secret in test.secrets:
        # As it is written in JSON, and as it is read from it.
        if secret in text or _holds(msgspec.json.decode(text or "null"), secret):
            yield f'"{secret}" is a secret, and stands in what is stored'


def _holds(value: object, secret: str) -> bool:
    match value:
        case str():
            return secret in value
        case dict():
            return any(_holds(key, secret) or _holds(at, secret) for key, at in value.items())
        case list():
            return any(_holds(at, secret) for at in value)
        case _:
            return False


def _describe(found: Explanation) -> str:
    result = found.result
    stage = next((at for at in found.stages if at.name == result.stage), None)
    failure = f" ({stage.failure})" if stage and stage.failure else ""
    return result.describe() + failure


def _describe_change(change: Change) -> str:
    if change.before is UNSET:
        return f"{change.path}: {_text(change.after)} is not expected"
    if change.after is UNSET:
        return f"{change.path}: expected {_text(change.before)}, is missing"
    return f"{change.path}: expected {_text(change.before)}, is {_text(change.after)}"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
