"""Native stages one by one, with the kernels that the server runs.

Filters remember events, so each of them is a segment of its own that sees every event once. All
other native stages remember nothing: what each of them does is the difference between the segment
up to it and the segment up to the one before it. So the last text is that of the very segment that
the server runs, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from ingest import _native
from ingest.contract import OutputForm, StageSpec
from ingest.explain import report
from ingest.explain.report import Request
from ingest.explain.trace import Trace
from ingest.pipeline.segments import Segment, native_json

_ALWAYS_MARK = {
    "capacity": 0.0,
    "refill_rate_per_sec": 0.0,
    "key_field": None,
    "max_keys": 1,
    "mark": True,
}
"""A `rate_limit` that has let through all that it ever will."""

Stages = tuple[tuple[int, StageSpec], ...]
FullMatch = Callable[[int, str], bool] | None


class _Step(NamedTuple):
    stage: int | None
    """The last stage of it; None: it only brings the event into the form that is stored."""
    segment: _native.Segment


class NativeStages:
    """The stages of one native segment."""

    def __init__(
        self, segment: Segment, request: Request, full_match: FullMatch, *, reads: bool
    ) -> None:
        """Compile the stages; `reads` says that the segment is the first, which takes lines."""
        self._reads = reads
        self._segment = segment
        self._request = request
        self._full_match = full_match
        # A segment without stages decodes, which also happens to what a Python stage returns.
        self._decode = self._compile((), "bare" if not segment.is_formed else segment.output)
        self._filters = [
            (at, stage, self._compile(((at, stage),), "bare"))
            for at, stage in segment.stages
            if stage.kind == "filter"
        ]
        self._steps: dict[int | None, list[_Step]] = {None: list(self._make_steps(()))}

    def run(self, line: bytes, trace: Trace, letter: Callable[..., bytes]) -> bytes | None:
        """Return what becomes of the event, or None where it has come to its end."""
        outcome, text = self._ask(self._decode, line)
        if outcome != "kept":
            if self._reads:
                trace.rejected(outcome)
            trace.buried(letter, line, outcome, None)
            return None
        if self._reads:
            trace.decoded(text)
        marked: tuple[int, StageSpec] | None = None
        for at, stage, segment in self._filters:
            outcome, after = self._ask(segment, text)
            if outcome == "filtered":
                trace.filtered(at)
                return None
            if trace.passed(at, text, after).changes:
                marked = at, stage
        return self._change(text, trace, marked)

    def _change(self, text: bytes, trace: Trace, marked: tuple[int, StageSpec] | None) -> bytes:
        """Enrich, redact, form and process an event that a filter may have marked."""
        key = marked and marked[0]
        if marked and key not in self._steps:
            at, stage = marked
            mark = (at, msgspec.structs.replace(stage, config=_ALWAYS_MARK))
            self._steps[key] = list(self._make_steps((mark,)))
        before = text
        for index, segment in self._steps[key]:
            outcome, after = self._ask(segment, text)
            if outcome != "kept":
                raise RuntimeError(f"an event was accepted and then {outcome}")
            if index is None:
                trace.formed(before, after)
            elif marked is None or index != key:
                trace.passed(index, before, after)
            before = after
        return before

    def _make_steps(self, mark: Stages) -> Iterator[_Step]:
        segment = self._segment
        done = mark
        for at, _ in mark:
            yield _Step(at, self._compile(done, "bare"))
        for at, stage in segment.stages:
            if stage.kind in {"enricher", "redactor"}:
                done = (*done, (at, stage))
                yield _Step(at, self._compile(done, "bare"))
        if segment.output == "envelope" and not segment.is_formed:
            yield _Step(None, self._compile(done, segment.output))
        for at, stage in segment.stages:
            if stage.kind == "processor":
                done = (*done, (at, stage))
                yield _Step(at, self._compile(done, segment.output))

    def _compile(self, stages: Stages, output: OutputForm) -> _native.Segment:
        told = self._segment._replace(stages=stages, output=output)
        return _native.Segment(
            native_json(told),
            depth=self._request.depth,
            keys=self._request.keys,
            full_match=self._full_match,
        )

    @staticmethod
    def _ask(segment: _native.Segment, line: bytes) -> tuple[str, bytes]:
        (answer,) = segment.run(
            [line],
            listener=report.LISTENER,
            shard=report.SHARD,
            received_ns=report.RECEIVED_NS,
            peer=report.PEER,
        )
        return answer
