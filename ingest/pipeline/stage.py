"""One Python stage: its plugin, called for many events and never trusted with the worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ingest.contract import StageSpec
from ingest.pipeline.breaker import Breaker
from ingest.pipeline.budget import Watch
from ingest.pipeline.catalogue import METHODS
from ingest.pipeline.contracts import (
    Event,
    Plugin,
    deep_merge,
    drive_enricher,
    drive_filter,
    drive_processor,
    drive_redactor,
)
from ingest.pipeline.exchange import StageCounts, Verdict
from ingest.pipeline.failures import FailureLog, describe
from ingest.pipeline.origin import Origin


class Run(NamedTuple):
    """What a plugin returned for some events."""

    results: list[Any]
    """One per event; None where it failed."""
    failures: dict[int, Verdict]
    """By the number of the event: how the plugin failed at it, as a reason to drop it."""


class Stage:
    """A plugin and everything that is known about it."""

    def __init__(self, index: int, spec: StageSpec, plugin: Plugin, *, tidy: bool) -> None:
        """`tidy`: the plugin keeps no part of an event and shares none of its own with events."""
        self.index = index
        self.spec = spec
        self.plugin = plugin
        self.tidy = tidy
        self.counts = StageCounts()
        self.breaker = Breaker(spec.breaker_failures, spec.breaker_seconds)
        self.failures = FailureLog(spec.name, spec.plugin)
        self.is_origin = isinstance(plugin, Origin)
        self.merge: Callable[[Event, Event], Event] = (
            plugin.place if isinstance(plugin, Origin) else deep_merge
        )
        self.undoes = not self.is_origin and (
            spec.fail == "open" or (spec.fail != "closed" and spec.kind != "redactor")
        )
        """Whether an event must be as it was before, where the plugin fails at it."""
        call: Any = getattr(plugin, METHODS[spec.kind], None)
        self._call: Callable[..., Awaitable[Any]] = call
        self._late = f"longer than its budget of {spec.budget_seconds:g} s"
        self._seen = 0

    def verdict(self, failure: Verdict) -> Verdict:
        """Return what becomes of an event at which the plugin failed so."""
        return {"open": Verdict.KEEP, "closed": failure, "dead_letter": Verdict.DEAD_LETTER}[
            self.spec.fail
        ]

    async def run(self, inputs: Sequence[Any], watch: Watch) -> Run:
        """Call the plugin for each input, as long as the breaker lets it."""
        began = time.perf_counter_ns()
        run = Run([], {})
        results, failures = run
        total, remaining = len(inputs), iter(inputs)
        while len(results) < total:
            done = len(results)
            admitted = self.breaker.admit(total - done)
            if not admitted:
                failures.update(dict.fromkeys(range(done, total), Verdict.DROPPED_BREAKER))
                results.extend([None] * (total - done))
                self.counts.skipped += total - done
                break
            await self._attempt(islice(remaining, admitted), run, watch)
            self.counts.events += len(results) - done
        self._seen += total
        self.counts.nanoseconds += time.perf_counter_ns() - began
        return run

    def reject(self, at: int, total: int) -> Verdict:
        """Take note that one of the last results turned out to be no JSON.

        Return the reason to drop its event.
        """
        return self._fail(
            self._seen - total + at, Verdict.DROPPED_ERROR, "returned what JSON cannot express"
        )

    def take_counts(self) -> StageCounts:
        """Return what was counted since the last time."""
        counts, self.counts = self.counts, StageCounts()
        counts.breaker_open = self.breaker.is_open
        if self.spec.kind == "filter":
            with contextlib.suppress(Exception):  # a gauge that fails says nothing
                rate = getattr(self.plugin, "current_sample_rate", None)
                rate = rate() if callable(rate) else rate
                counts.sample_rate = None if rate is None else float(rate)
        return counts

    async def _attempt(self, inputs: Iterable[Any], run: Run, watch: Watch) -> None:
        """Work on the inputs until one fails."""
        results = run.results
        watch.begin(results, self.spec.budget_seconds)
        raised = ""
        try:
            await self._drive(inputs, results, watch)
        except GeneratorExit:  # the coroutine is closed, and has to end
            raise
        except asyncio.CancelledError as error:
            watch.end()
            if watch.is_cancelled():
                raise
            raised = describe(error)
        except BaseException as error:  # noqa: BLE001 - not even KeyboardInterrupt may end the worker
            raised = describe(error)
        finally:
            watch.end()
        if not raised and not watch.late:
            if self.breaker.succeed():
                self.failures.taken_back()
            return
        failed = set(watch.late)  # some are late and yet return something
        if raised:
            failed.add(len(results))
            results.append(None)
        for number in sorted(failed):
            results[number] = None
            is_late = number in watch.late
            failure = Verdict.DROPPED_TIMEOUT if is_late else Verdict.DROPPED_ERROR
            what = self._late if is_late else raised
            run.failures[number] = self._fail(self._seen + number, failure, what)

    def _fail(self, number: int, failure: Verdict, what: str) -> Verdict:
        self.failures.note(what)
        if failure is Verdict.DROPPED_TIMEOUT:
            self.counts.timeouts += 1
        else:
            self.counts.errors += 1
        was_open = self.breaker.is_open
        if self.breaker.fail(number) and not was_open:
            self.failures.left_out(self.spec.breaker_seconds)
        return failure

    async def _drive(self, inputs: Iterable[Any], results: list[Any], watch: Watch) -> None:
        match self.spec.kind:
            case "filter":
                await drive_filter(self._call, inputs, results, watch)
            case "enricher":
                await drive_enricher(self._call, inputs, results, watch)
            case "redactor":
                await drive_redactor(
                    self._call,
                    inputs,
                    results,
                    watch,
                    plugin=self.plugin,
                    counts=self.counts,
                )
            case "processor":
                await drive_processor(self._call, map(memoryview, inputs), results, watch)
