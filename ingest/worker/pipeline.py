"""The Python half of a worker's pipeline, and what the native half is told.

Without Python stages nothing here imports a plugin, and no batch is ever handed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from ingest.contract import PipelineSpec, WorkerSpec
from ingest.logs import get_logger
from ingest.pipeline.exchange import Origin, StageCounts
from ingest.pipeline.host import PythonSegment
from ingest.pipeline.segments import (
    full_match,
    native_json,
    redactors_json,
    segments,
)
from ingest.worker.faults import complete

if TYPE_CHECKING:
    from ingest._native import Handoff, Region
    from ingest.receive import Answer

_log = get_logger(__name__)

_GIVE_UP_SECONDS = 1.0
"""How long the tasks of plugins may take to end."""


class NativePipeline(TypedDict):
    """What a `Shard` is told of the pipeline."""

    segments: list[str]
    redactors: str
    has_foreign_redactors: bool
    full_match: Callable[[int, str], bool] | None


def native_pipeline(spec: PipelineSpec) -> NativePipeline:
    """Return the native half of a pipeline."""
    return NativePipeline(
        segments=[native_json(segment) for segment in segments(spec) if segment.native],
        redactors=redactors_json(spec),
        has_foreign_redactors=spec.has_foreign_redactors,
        full_match=full_match(spec),
    )


class PythonPipeline:
    """The Python segments of a worker, in their order."""

    def __init__(self, spec: WorkerSpec, region: Region) -> None:
        self._index = spec.index
        self._region = region
        self._segments = [
            PythonSegment(segment.stages, self._report)
            for segment in segments(spec.pipeline)
            if not segment.native
        ]

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._segments)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load and start the plugins; raise BootError where one is needed and does not start."""
        for segment in self._segments:
            loop.run_until_complete(segment.start())
            for stage, is_well in loop.run_until_complete(segment.health()).items():
                if not is_well:
                    _log.warning("A plugin is not well or left out.", stage=stage)

    def take_over(self) -> None:
        """Show how the stages stand, once nobody else does."""
        for segment in self._segments:
            segment.report_counts()

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the plugins, those of the last segment first, and tasks that they have left."""
        for segment in reversed(self._segments):
            complete(loop, segment.stop())
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            complete(loop, asyncio.wait(left, timeout=_GIVE_UP_SECONDS))

    async def process(self, batch: Handoff) -> Answer:
        """Run the stages of a segment on a batch."""
        origins = [
            Origin(count, listener, peer, received_ns, self._index, identity)
            for count, listener, peer, identity, received_ns in batch.runs
        ]
        outcome = await self._segments[batch.segment].process(batch.lines, origins)
        return outcome.lines, outcome.verdicts, outcome.stages

    def _report(self, stage: int, counts: StageCounts) -> None:
        for name, count in (
            ("events", counts.events),
            ("seconds", counts.nanoseconds),
            ("changed", counts.redacted),
            ("errors", counts.errors),
            ("timeouts", counts.timeouts),
            ("skipped", counts.skipped),
        ):
            if count:
                self._region.add(self._index, f"ingest_stage_{name}_total", count, stage=stage)
        self._set(stage, "breaker_open", counts.breaker_open)
        if counts.sample_rate is not None:
            self._set(stage, "sample_rate", round(counts.sample_rate * 1e6))

    def _set(self, stage: int, name: str, value: int) -> None:
        self._region.set(self._index, f"ingest_stage_{name}", value, stage=stage)
