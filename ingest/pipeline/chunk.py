"""Some events of a batch on their way through the Python stages, as objects and as text.

One stage works on all events before the next one does. Their text is kept, or made, where a
plugin may spoil events that have to go on as they were before it; encoding a chunk is cheap, and
only what is really needed again is decoded. What a plugin of others returns is encoded at once,
so that it is known whose result cannot be.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from itertools import compress
from typing import Any

import msgspec

from ingest.pipeline.budget import Watch
from ingest.pipeline.contracts import Event, mask_all
from ingest.pipeline.exchange import Verdict
from ingest.pipeline.stage import Run, Stage

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()

encode = _encoder.encode
decode = _decoder.decode


class Text:
    """The lines of some events of a chunk."""

    def __init__(self, positions: Sequence[int], data: bytes | memoryview) -> None:
        self.data = data
        self._positions = positions

    @cached_property
    def lines(self) -> list[bytes]:
        """Without their newlines."""
        return bytes(self.data).split(b"\n")[:-1]

    def line(self, position: int) -> bytes:
        """Return the line of the event at this position of the chunk."""
        return self.lines[bisect_left(self._positions, position)]


class Chunk:
    """The events that go on, and what has become of the others."""

    def __init__(self, data: memoryview, count: int) -> None:
        self.verdicts = bytearray(count)
        self.stages = bytearray(count)
        self.positions: Sequence[int] = range(count)
        """Where in the chunk the events stand that go on."""
        self._original = Text(self.positions, data)
        self._text = self._original
        self._is_shared = False
        """Whether a plugin may hold parts of the events, or they parts of a plugin."""
        self._last: Stage | None = None
        """The stage that made the events what the text does not say yet; none: it does."""
        self._condemned: dict[int, bytes] = {}
        """Lines for the dead letters that redactors have yet to see, by position."""
        self._dead: dict[int, bytes] = {}
        """Lines for the dead letters, by position."""
        self._stored: list[bytes] | None = None
        """What will be stored, once processors work on it."""

    @cached_property
    def events(self) -> list[Event]:
        """The events that go on, as objects."""
        return _decoder.decode_lines(self._text.data)

    async def filter(self, stage: Stage, watch: Watch) -> None:
        """Let a filter decide which events go on."""
        self._prepare(stage)
        run = await stage.run(self.events, watch)
        results = run.results
        goes_on = [result is not None for result in results]
        if not all(goes_on):
            for at in run.failures:
                goes_on[at] = self._contain(at, stage, run)
            for at, result in enumerate(results):
                if result is None and at not in run.failures:
                    stage.counts.filtered += 1
                    self._decide(self.positions[at], stage, Verdict.FILTERED)
        self._go_on(results, goes_on)
        self._finish(stage)

    async def enrich(
        self, stages: Sequence[Stage], watch: Watch, origins: Sequence[dict[str, Any]]
    ) -> None:
        """Add what enrichers say, all of them of the events as they are before.

        `origins` has for each position of the chunk what an origin stage adds.
        """
        for stage in stages:
            self._prepare(stage)
        events, updates = self.events, []
        goes_on = [True] * len(events)
        for stage in stages:
            run = await self._ask(stage, watch, origins)
            for at in run.failures:
                if goes_on[at]:
                    goes_on[at] = self._contain(at, stage, run)
                    # What the plugin left of the event is not for the others to see.
                    events[at] = run.results[at] or events[at]
                run.results[at] = {}
            updates.append(run.results)
        self._go_on(events, goes_on)
        for stage, results in zip(stages, updates, strict=True):
            began = time.perf_counter_ns()
            self.events = list(map(stage.merge, self.events, compress(results, goes_on)))
            stage.counts.nanoseconds += time.perf_counter_ns() - began
            self._is_shared |= not stage.tidy
        self._finish(stages[-1])

    async def redact(self, stage: Stage, watch: Watch) -> None:
        """Let a redactor work on events of its own, and on those that are for the dead letters."""
        if self._is_shared:
            self._settle()
            self.events = _decoder.decode_lines(self._text.data)
            self._is_shared = False
        self._prepare(stage)
        run = await stage.run(self.events, watch)
        goes_on = [True] * len(run.results)
        for at in run.failures:
            goes_on[at] = self._contain(at, stage, run)
        self._go_on(run.results, goes_on)
        self._finish(stage)
        if self._condemned:
            await self._redact_condemned(stage, watch)

    async def process(self, stage: Stage, watch: Watch) -> None:
        """Let a processor work on what will be stored."""
        if self._stored is None:
            self._settle()
            self._stored = self._text.lines
        lines = self._stored
        run = await stage.run(lines, watch)
        results = [after or before for after, before in zip(run.results, lines, strict=True)]
        goes_on = [True] * len(lines)
        for at, failure in run.failures.items():
            position, verdict = self.positions[at], stage.verdict(failure)
            goes_on[at] = verdict is Verdict.KEEP
            self._decide(position, stage, verdict)
            if verdict is Verdict.DEAD_LETTER:
                self._dead[position] = lines[at]
        self.positions = list(compress(self.positions, goes_on))
        self._stored = list(compress(results, goes_on))

    def lines(self) -> bytes | memoryview:
        """Return the lines of the events that go on and of those for the dead letters."""
        if self._stored is None:
            self._settle()
        dead = self._condemned | self._dead
        if not dead and self._stored is None:
            return self._text.data
        lines = self._text.lines if self._stored is None else self._stored
        if dead:
            lines = [
                line
                for _, line in sorted([*zip(self.positions, lines, strict=True), *dead.items()])
            ]
        return b"\n".join([*lines, b""])

    def _prepare(self, stage: Stage) -> None:
        """See to it that an event can be taken back to what it is now, should the stage fail."""
        if stage.undoes:
            self._settle()

    def _contain(self, at: int, stage: Stage, run: Run) -> bool:
        """Do with an event at which a plugin failed what its policy says; tell if it goes on.

        If it does, the result is the event as it was before.
        """
        position, failure = self.positions[at], run.failures[at]
        verdict = stage.verdict(failure)
        if verdict is Verdict.KEEP:
            untouched = failure is Verdict.DROPPED_BREAKER
            run.results[at] = self.events[at] if untouched else decode(self._text.line(position))
            return True
        self._decide(position, stage, verdict)
        if verdict is Verdict.DEAD_LETTER:
            self._condemn(position, stage)
        return False

    def _decide(self, position: int, stage: Stage, verdict: Verdict) -> None:
        if verdict is not Verdict.KEEP:
            self.verdicts[position] = verdict
            self.stages[position] = stage.index

    def _condemn(self, position: int, stage: Stage) -> None:
        if stage.spec.kind == "redactor":
            self._condemned.pop(position, None)
            # No part of it may be trusted to be free of what should have been masked.
            self._dead[position] = encode(mask_all(decode(self._original.line(position))))
        else:
            self._condemned[position] = self._text.line(position)

    def _go_on(self, events: list[Event], goes_on: list[bool]) -> None:
        if all(goes_on):
            self.events = events
        else:
            self.events = list(compress(events, goes_on))
            self.positions = list(compress(self.positions, goes_on))

    def _finish(self, stage: Stage) -> None:
        """Take note that the events are results of this stage."""
        self._last = stage
        if not stage.tidy:
            self._is_shared = True
            self._settle()

    def _settle(self) -> None:
        """Make the text that of the events as they are."""
        if self._last is None:
            return
        try:
            data = _encoder.encode_lines(self.events)
        except Exception:  # noqa: BLE001 - objects of a plugin may raise anything
            data = b""
        # A msgspec.Raw can hold a newline. This way of counting them is six times quicker than
        # bytes.count, which would be a twentieth of all that a worker does.
        if len(BytesIO(data).readlines()) != len(self.events):
            data = self._encode_each(self._last)
        self._text = Text(self.positions, data)
        self._last = None

    def _encode_each(self, stage: Stage) -> bytes:
        """Encode the events, and do with those that cannot be what the policy of the stage says.

        Where that is to undo it, the text is still that before it.
        """
        lines: list[bytes | None] = []
        for at, event in enumerate(self.events):
            line = encoded(event)
            if line is None:
                position = self.positions[at]
                verdict = stage.verdict(stage.reject(at, len(self.events)))
                if verdict is Verdict.KEEP:
                    line = self._text.line(position)
                    self.events[at] = decode(line)
                elif verdict is Verdict.DEAD_LETTER:
                    self._condemn(position, stage)
                self._decide(position, stage, verdict)
            lines.append(line)
        self._go_on(self.events, [line is not None for line in lines])
        return b"".join(line + b"\n" for line in lines if line is not None)

    async def _ask(self, stage: Stage, watch: Watch, origins: Sequence[dict[str, Any]]) -> Run:
        """Return what an enricher has to add to each event, certain to be expressible in JSON."""
        if stage.is_origin:
            stage.counts.events += len(self.positions)
            return Run([origins[position] for position in self.positions], {})
        run = await stage.run(self.events, watch)
        if not stage.tidy and encoded(run.results) is None:
            for at, result in enumerate(run.results):
                if at not in run.failures and encoded(result) is None:
                    run.failures[at] = stage.reject(at, len(run.results))
        return run

    async def _redact_condemned(self, stage: Stage, watch: Watch) -> None:
        positions = list(self._condemned)
        run = await stage.run([decode(line) for line in self._condemned.values()], watch)
        for position, (at, result) in zip(positions, enumerate(run.results), strict=True):
            failure = run.failures.get(at)
            line = None if failure else encoded(result)
            if line is not None:
                self._condemned[position] = line
                continue
            verdict = stage.verdict(failure or stage.reject(at, len(positions)))
            self._decide(position, stage, verdict)
            if verdict is Verdict.DEAD_LETTER:
                self._condemn(position, stage)
            elif verdict is not Verdict.KEEP:
                del self._condemned[position]


def encoded(value: object) -> bytes | None:
    """Return the value as one line of JSON, or None where it cannot be one."""
    try:
        line = encode(value)
    except Exception:  # noqa: BLE001 - objects of a plugin may raise anything
        return None
    return None if b"\n" in line else line
