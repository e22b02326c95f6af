"""Run consecutive Python stages of a pipeline on batches of event lines.

A batch is worked on in chunks that fit a processor's cache. Nothing a plugin does ends the worker,
but for standing still in a way that nobody can interrupt (see `budget`).
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain, groupby, repeat
from typing import Any

from ingest.contract import StageKind, StageSpec
from ingest.errors import BootError
from ingest.logs import get_logger
from ingest.pipeline.budget import Watch
from ingest.pipeline.chunk import Chunk
from ingest.pipeline.contracts import DRIVES, Plugin
from ingest.pipeline.exchange import Origin, Outcome, Report
from ingest.pipeline.failures import describe
from ingest.pipeline.origin import Origin as OriginEnricher
from ingest.pipeline.stage import Stage

_CHUNK_BYTES = 80 * 1024
"""About 256 events: their objects stay in the cache, and are freed before the next are made."""
_GARBAGE_OBJECTS = 1000
"""How many objects of a chunk may be left over in cycles before they are looked for."""
_RECURSION_LIMIT = 4096
"""Four times the nesting that may be configured; plugins go down event trees by recursion, and
some swallow a RecursionError together with what they should have masked."""
_GIVE_UP_SECONDS = 5.0
"""How long a plugin may take to stop or to tell its health."""
_KINDS: tuple[StageKind, ...] = ("filter", "enricher", "redactor", "processor")
# The orders in which fapilog starts and stops.
_START_ORDER: tuple[StageKind, ...] = ("enricher", "redactor", "processor", "filter")
_STOP_ORDER: tuple[StageKind, ...] = ("processor", "filter", "redactor", "enricher")

_log = get_logger(__name__)


class PythonSegment:
    """Python stages between native ones. Used by one task, in the main thread."""

    def __init__(self, stages: Sequence[tuple[int, StageSpec]], report: Report) -> None:
        """Take stages with their indices, in the order of the pipeline.

        What comes in before processors has to have the form that is stored.
        """
        kinds = [_KINDS.index(spec.kind) for _, spec in stages]
        if not stages or kinds != sorted(kinds):
            raise ValueError("stages run by kind: filters, enrichers, redactors, processors")
        self._specs = tuple(stages)
        self._report = report
        self._all: list[Stage] = []
        self._started: list[Stage] = []
        self._runs: list[tuple[StageKind, list[Stage]]] = []
        budgets = [spec.budget_seconds for _, spec in stages]
        self._watch = Watch(min(budgets), DRIVES)

    async def start(self) -> None:
        """Load and start the plugins; raise BootError where one is needed and does not start."""
        from ingest.pipeline.loading import load  # noqa: PLC0415 - leads to fapilog, slow to import

        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
        self._all = [load(index, spec) for index, spec in self._specs]
        for stage in sorted(self._all, key=lambda stage: _START_ORDER.index(stage.spec.kind)):
            await self._start(stage)
        running = [stage for stage in self._all if stage in self._started]
        self._runs = [
            (kind, list(run)) for kind, run in groupby(running, lambda stage: stage.spec.kind)
        ]
        # What lives as long as the worker is nothing for the collector to look through.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Stop the plugins that were started."""
        started, self._started = reversed(self._started), []
        for stage in sorted(started, key=lambda stage: _STOP_ORDER.index(stage.spec.kind)):
            stage.failures.flush()
            try:
                async with asyncio.timeout(_GIVE_UP_SECONDS):
                    await _optional(stage.plugin, "stop")
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the others have to stop
                _log.warning(
                    "A plugin did not stop.", reason=f"{stage.spec.name}: {describe(error)}"
                )

    async def health(self) -> dict[str, bool]:
        """Return for each stage whether its plugin is in use and says that it is well."""
        return {stage.spec.name: await self._is_healthy(stage) for stage in self._all}

    def report_counts(self) -> None:
        """Report what the stages did; also nothing, over what a predecessor has left there."""
        for stage in self._all:
            self._report(stage.index, stage.take_counts())

    async def process(self, lines: bytes, origins: Sequence[Origin]) -> Outcome:
        """Run the stages on canonical event lines, each ended by a newline."""
        members = self._origin_members(origins)
        verdicts, stages, output = bytearray(), bytearray(), []
        collects = gc.isenabled()
        # A chunk goes by reference count, and a collection in the middle of it finds nothing; only
        # what a plugin leaves in cycles is collected, while it is still in the cache.
        gc.disable()
        try:
            with self._watch:
                for part, count in _parts(lines):
                    chunk = Chunk(part, count)
                    await self._run(chunk, members[len(verdicts) : len(verdicts) + count])
                    output.append(chunk.lines())
                    verdicts += chunk.verdicts
                    stages += chunk.stages
                    del chunk
                    if gc.get_count()[0] > _GARBAGE_OBJECTS:
                        gc.collect(0)
        finally:
            if collects:
                gc.enable()
            self.report_counts()
        return Outcome(b"".join(output), bytes(verdicts), bytes(stages))

    async def _run(self, chunk: Chunk, origins: Sequence[dict[str, Any]]) -> None:
        for kind, stages in self._runs:
            await self._pass(chunk, kind, stages, origins)

    async def _pass(
        self,
        chunk: Chunk,
        kind: StageKind,
        stages: Sequence[Stage],
        origins: Sequence[dict[str, Any]],
    ) -> None:
        """Let stages of one kind work on a chunk."""
        match kind:
            case "filter":
                for stage in stages:
                    await chunk.filter(stage, self._watch)
            case "enricher":
                await chunk.enrich(stages, self._watch, origins)
            case "redactor":
                for stage in stages:
                    await chunk.redact(stage, self._watch)
            case "processor":
                for stage in stages:
                    await chunk.process(stage, self._watch)

    async def _start(self, stage: Stage) -> None:
        try:
            await _optional(stage.plugin, "start")
        except (Exception, SystemExit) as error:
            what = f"{stage.spec.name}: {describe(error)}"
            if stage.spec.fail != "open":
                await self.stop()
                raise BootError(f"a plugin did not start, {what}") from error
            _log.error("A plugin did not start and is left out.", reason=what)
            stage.breaker.open_for_good()
        else:
            self._started.append(stage)

    async def _is_healthy(self, stage: Stage) -> bool:
        if stage not in self._started or stage.breaker.is_open:
            return False
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                return bool(await _optional(stage.plugin, "health_check", default=True))
        except (Exception, SystemExit):  # noqa: BLE001 - a plugin that cannot tell is not well
            return False

    def _origin_members(self, origins: Sequence[Origin]) -> list[dict[str, Any]]:
        for stage in self._started:
            if isinstance(stage.plugin, OriginEnricher):
                members = stage.plugin.members
                return list(chain.from_iterable(repeat(members(run), run.count) for run in origins))
        return []


async def _optional(plugin: Plugin, method: str, default: object = None) -> object:
    """Call a method that a plugin need not have."""
    call = getattr(plugin, method, None)
    return default if call is None else await call()


def _parts(lines: bytes) -> Iterator[tuple[memoryview, int]]:
    """Cut a batch between lines; return each part with the number of its lines."""
    view, stream = memoryview(lines), BytesIO(lines)
    start = 0
    while part := stream.readlines(_CHUNK_BYTES):
        yield view[start : stream.tell()], len(part)
        start = stream.tell()
