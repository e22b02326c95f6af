"""A pipeline as a worker runs it: native segments and Python segments in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from ingest._native import Segment
from ingest.config.pipeline import Pipeline
from ingest.contract import PipelineSpec
from ingest.pipeline import segments
from ingest.pipeline.exchange import Origin, StageCounts, Verdict
from ingest.pipeline.host import PythonSegment
from ingest.pipeline.segments import full_match
from tests.differential import oracle
from tests.differential.comparing import DEPTH, KEYS, is_of_containers

Result = tuple[str, bytes]
"""`kept`, `filtered`, a reason to reject or to drop; and what is stored or buried."""

_NAMES = {
    Verdict.KEEP: "kept",
    Verdict.FILTERED: "filtered",
    Verdict.DEAD_LETTER: "stage_failed",
    Verdict.DROPPED_ERROR: "dropped",
    Verdict.DROPPED_TIMEOUT: "timeout",
    Verdict.DROPPED_BREAKER: "breaker",
}


def assert_same_in_both(pipeline: Pipeline, lines: list[bytes]) -> None:
    """Fail unless both executors come to the same verdicts and to the same events.

    Numbers may be spelt differently, which shows where an envelope holds JSON as text.
    """
    both = [
        asyncio.run(run(pipeline.model_copy(update={"executor": executor}), lines))
        for executor in ("auto", "python")
    ]
    for line, (outcome, native), (same_outcome, python) in zip(lines, *both, strict=True):
        assert outcome == same_outcome, line
        if outcome == "kept" and not (pipeline.output == "envelope" and is_of_containers(line)):
            one, other = oracle.exact(orjson.loads(native)), oracle.exact(orjson.loads(python))
            assert one == other, line


async def run(pipeline: Pipeline, lines: Sequence[bytes]) -> list[Result]:
    """Return what becomes of each line."""
    spec = pipeline.spec()
    results: list[Result] = [("kept", line) for line in lines]
    for segment in segments.segments(spec):
        going = [at for at, (outcome, _) in enumerate(results) if outcome == "kept"]
        given = [results[at][1] for at in going]
        made = _native(segment, spec, given) if segment.native else await _python(segment, given)
        for at, result in zip(going, made, strict=True):
            results[at] = result
    return results


def _native(segment: segments.Segment, spec: PipelineSpec, lines: Sequence[bytes]) -> list[Result]:
    compiled = Segment(
        segments.native_json(segment), depth=DEPTH, keys=KEYS, full_match=full_match(spec)
    )
    return compiled.run(
        lines, listener=oracle.LISTENER, shard=oracle.SHARD, received_ns=oracle.RECEIVED_NS
    )


async def _python(segment: segments.Segment, lines: Sequence[bytes]) -> list[Result]:
    host = PythonSegment(segment.stages, _ignore)
    await host.start()
    try:
        origin = Origin(len(lines), oracle.LISTENER, None, oracle.RECEIVED_NS, oracle.SHARD)
        outcome = await host.process(b"".join(line + b"\n" for line in lines), [origin])
    finally:
        await host.stop()
    returned = iter(bytes(outcome.lines).split(b"\n"))
    return [
        (_NAMES[verdict], next(returned) if verdict in (Verdict.KEEP, Verdict.DEAD_LETTER) else b"")
        for verdict in map(Verdict, outcome.verdicts)
    ]


def _ignore(stage: int, counts: StageCounts) -> None:
    """Take the counts of a stage."""
