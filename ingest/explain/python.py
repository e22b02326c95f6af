"""Python stages one by one: the host that the server runs, watched at its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingest._native import METRICS
from ingest.contract import StageKind
from ingest.explain import report
from ingest.explain.report import Outcome
from ingest.explain.trace import Trace
from ingest.pipeline.chunk import Chunk, encoded
from ingest.pipeline.contracts import Event
from ingest.pipeline.exchange import Origin, StageCounts, Verdict
from ingest.pipeline.failures import FailureLog
from ingest.pipeline.host import PythonSegment
from ingest.pipeline.segments import Segment
from ingest.pipeline.stage import Stage

_DROP_REASONS = next(
    metric.label_values for metric in METRICS if metric.name == "ingest_events_dropped_total"
)
"""One for each verdict from DROPPED_ERROR on."""
_ORIGIN = Origin(1, report.LISTENER, report.PEER, report.RECEIVED_NS, report.SHARD)


class PythonStages:
    """The stages of one Python segment."""

    def __init__(self, segment: Segment) -> None:
        self._host = _WatchedSegment(segment)

    async def start(self) -> None:
        """Start the plugins; raise BootError where the server would."""
        await self._host.start()

    async def stop(self) -> None:
        """Stop the plugins."""
        await self._host.stop()

    async def run(self, line: bytes, trace: Trace, letter: Callable[..., bytes]) -> bytes | None:
        """Return what becomes of the event, or None where it has come to its end."""
        self._host.trace = trace
        outcome = await self._host.process(line + b"\n", [_ORIGIN])
        verdict, stage = Verdict(outcome.verdicts[0]), outcome.stages[0]
        text = outcome.lines.removesuffix(b"\n")
        match verdict:
            case Verdict.KEEP:
                return text
            case Verdict.FILTERED:
                trace.filtered(stage)
            case Verdict.DEAD_LETTER:
                trace.buried(letter, text, "stage_failed", stage)
            case _:
                trace.dropped(stage, _DROP_REASONS[verdict - Verdict.DROPPED_ERROR])
        return None


class _WatchedSegment(PythonSegment):
    """Tells a trace what each stage does to an event; works on one at a time."""

    trace: Trace

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.stages, _ignore_counts)
        self._failures: dict[int, _LastFailure] = {}
        self._merged: dict[int, tuple[bytes, bytes]] = {}

    async def start(self) -> None:
        await super().start()
        for stage in self._all:
            self._failures[stage.index] = _LastFailure(stage.spec.name, stage.spec.plugin)
            stage.failures = self._failures[stage.index]
            stage.merge = self._watch_merge(stage)

    async def _run(self, chunk: Chunk, origins: Sequence[dict[str, Any]]) -> None:
        for stage in self._all:
            if stage not in self._started:
                self._tell(stage, "skipped", "it did not start")
        await super()._run(chunk, origins)

    async def _pass(
        self,
        chunk: Chunk,
        kind: StageKind,
        stages: Sequence[Stage],
        origins: Sequence[dict[str, Any]],
    ) -> None:
        before = _line(chunk)
        if kind == "enricher":  # all of them see the event as it is now
            self._merged.clear()
            await super()._pass(chunk, kind, stages, origins)
            for stage in stages:
                self._note(stage, *self._merged.get(stage.index, (before, before)))
            return
        for stage in stages:
            await super()._pass(chunk, kind, [stage], origins)
            after = _line(chunk)
            self._note(stage, before, after)
            before = after

    def _note(self, stage: Stage, before: bytes, after: bytes) -> None:
        failure = self._failures[stage.index].take()
        if stage.counts.skipped:
            self._tell(stage, "skipped", "it has failed too often")
        elif stage.counts.events:
            if before and after:
                self.trace.passed(stage.index, before, after)
            if failure is not None:
                self._tell(stage, "failed", failure)

    def _tell(self, stage: Stage, outcome: Outcome, failure: str) -> None:
        told = self.trace.stage(stage.index)
        told.outcome, told.failure, told.policy = outcome, failure, stage.spec.fail

    def _watch_merge(self, stage: Stage) -> Callable[[Event, Event], Event]:
        merge = stage.merge

        def watched(event: Event, update: Event) -> Event:
            merged = merge(event, update)
            before, after = encoded(event), encoded(merged)
            if before is not None and after is not None:
                self._merged[stage.index] = before, after
            return merged

        return watched


class _LastFailure(FailureLog):
    """Keeps how a plugin failed instead of logging it."""

    _last: str | None = None

    def note(self, what: str) -> None:
        self._last = what

    def take(self) -> str | None:
        """Return how it failed since the last time, if it did."""
        last, self._last = self._last, None
        return last

    def left_out(self, seconds: float) -> None:
        """Say nothing: the trace of the next event does."""

    def taken_back(self) -> None:
        """Say nothing: the trace of this event does."""


def _line(chunk: Chunk) -> bytes:
    """Return the event as it is now, or as a dead letter will hold it; nothing if it is gone."""
    return bytes(chunk.lines()).removesuffix(b"\n")


def _ignore_counts(stage: int, counts: StageCounts) -> None:
    """Take the place of the metrics."""
    del stage, counts
