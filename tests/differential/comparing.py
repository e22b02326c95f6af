"""Runs a pipeline natively and as fapilog does, and compares what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from ingest._native import Segment
from ingest.config.pipeline import Pipeline
from ingest.pipeline.segments import full_match, native_json, segments
from tests.differential import oracle
from tests.differential.lossless import assert_spelling_kept

DEPTH, KEYS = 64, 4096

_decoder = Segment('{"stages":[]}', depth=DEPTH, keys=KEYS)


def decoded(lines: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return the canonical events, or why a line is none."""
    return _decoder.run(lines)


def native(pipeline: Pipeline, lines: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return what a pipeline of native stages makes of lines."""
    spec = pipeline.spec()
    (only,) = segments(spec)
    assert only.native
    segment = Segment(native_json(only), depth=DEPTH, keys=KEYS, full_match=full_match(spec))
    return segment.run(
        lines, listener=oracle.LISTENER, shard=oracle.SHARD, received_ns=oracle.RECEIVED_NS
    )


def assert_same_as_fapilog(pipeline: Pipeline, lines: Sequence[bytes]) -> None:
    """Fail unless native stages and fapilog's classes make the same of every line."""
    asyncio.run(_compare(pipeline, lines))


async def _compare(pipeline: Pipeline, lines: Sequence[bytes]) -> None:
    fapilog = oracle.Oracle(pipeline)
    await fapilog.start()
    results = zip(native(pipeline, lines), decoded(lines), strict=True)
    for (outcome, found), (before, line) in results:
        if before != "kept":
            assert outcome == before
            continue
        expected = await fapilog.run(orjson.loads(line))
        if expected is None:
            assert (outcome, found) == ("filtered", b""), line
            continue
        assert outcome == "kept", line
        if pipeline.output == "envelope":
            _compare_envelopes(found, oracle.envelope(expected), line)
        else:
            assert oracle.exact(orjson.loads(found)) == oracle.exact(expected), line
            assert_spelling_kept(line.decode(), found.decode())


def _compare_envelopes(found: bytes, expected: bytes | None, line: bytes) -> None:
    event = orjson.loads(found)
    assert event["schema_version"] == "1.1"
    if expected is None or is_of_containers(line):
        # What fapilog does not accept, and what it shows as Python's repr, is meant to differ.
        assert list(event) == ["log", "schema_version"]
    else:
        assert found == expected, line


def is_of_containers(line: bytes) -> bool:
    """Say whether the level or message of an event is an object or array."""
    ((outcome, text),) = decoded([line])
    event = orjson.loads(text) if outcome == "kept" else {}
    return any(isinstance(event.get(key), (dict, list)) for key in ("level", "message"))
