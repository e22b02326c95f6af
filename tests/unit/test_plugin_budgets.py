"""A plugin that hangs is interrupted, one that fails too often is left out for a while."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest

from ingest.contract import FailurePolicy, StageKind
from ingest.pipeline.breaker import Breaker
from ingest.pipeline.exchange import Verdict
from tests.segments import (
    BAD,
    GOOD,
    SEEN,
    Hosted,
    Picky,
    events_of,
    raise_secret,
    spin,
    stage,
    verdicts_of,
)

KINDS = ("filter", "enricher", "redactor", "processor")


class TestBudgets:
    HANGS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "sleeps": lambda _: time.sleep(60),
        "spins": spin,
    }

    @pytest.mark.parametrize("hang", HANGS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_synchronous_code_is_interrupted(self, kind: StageKind, hang: str) -> None:
        plugin = Picky(self.HANGS[hang])
        began = time.monotonic()
        with Hosted(stage(plugin, kind, budget_seconds=0.02)) as hosted:
            outcome = hosted.process(GOOD, BAD, GOOD)
        assert time.monotonic() - began < 10
        assert verdicts_of(outcome) == [Verdict.KEEP, Verdict.DROPPED_TIMEOUT, Verdict.KEEP]
        assert hosted.counts[0].timeouts == 1

    def test_waiting_is_cancelled(self) -> None:
        class Waiting:
            """Waits for what never comes."""

            name = "waiting"

            async def enrich(self, event: dict[str, Any]) -> dict[str, Any]:
                if event["message"] == "bad":
                    await asyncio.Event().wait()
                return {"seen": True}

        with Hosted(stage(Waiting(), budget_seconds=0.02, fail="open")) as hosted:
            assert hosted.pass_through(GOOD, BAD, GOOD) == [SEEN, BAD, SEEN]
            # The task that worked on them was not cancelled for good.
            assert hosted.pass_through(BAD, GOOD) == [BAD, SEEN]
        assert hosted.counts[0].timeouts == 1

    def test_a_plugin_that_swallows_the_interruption_was_late_all_the_same(self) -> None:
        def stubborn(event: dict[str, Any]) -> dict[str, Any]:
            with contextlib.suppress(BaseException):
                time.sleep(60)
            return {**event, "late": True}

        with Hosted(stage(Picky(stubborn), "filter", budget_seconds=0.02)) as hosted:
            outcome = hosted.process(BAD, GOOD)
        assert verdicts_of(outcome) == [Verdict.DROPPED_TIMEOUT, Verdict.KEEP]

    def test_many_quick_events_are_not_one_slow_one(self) -> None:
        def slow(event: dict[str, Any]) -> dict[str, Any]:
            time.sleep(0.002)
            return event

        with Hosted(stage(Picky(slow), "filter", budget_seconds=0.1)) as hosted:
            outcome = hosted.process(*[BAD] * 100)
        assert set(verdicts_of(outcome)) == {Verdict.KEEP}

    def test_the_timer_of_others_is_given_back(self) -> None:
        fired: list[int] = []
        before = signal.signal(signal.SIGALRM, lambda number, _: fired.append(number))
        timer = signal.setitimer(signal.ITIMER_REAL, 3600, 7)
        try:
            with Hosted(stage(Picky(spin), "filter", budget_seconds=0.01)) as hosted:
                hosted.process(BAD, GOOD)
            delay, interval = signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.signal(signal.SIGALRM, before)
            signal.setitimer(signal.ITIMER_REAL, *timer)
        assert 3590 < delay <= 3600
        assert (interval, fired) == (7, [])

    def test_a_task_that_is_cancelled_ends(self) -> None:
        waiting = asyncio.Event()

        class Waiting:
            """Says that it waits for what never comes."""

            name = "waiting"

            async def enrich(self, _: dict[str, Any]) -> dict[str, Any]:
                waiting.set()
                await asyncio.Event().wait()
                return {}

        async def work() -> None:
            task = asyncio.create_task(hosted.segment.process(msgspec.json.encode(BAD) + b"\n", ()))
            await waiting.wait()
            task.cancel()
            await task

        with Hosted(stage(Waiting())) as hosted, pytest.raises(asyncio.CancelledError):
            hosted.run(work())

    def test_a_plugin_that_will_not_be_cancelled_does_not_keep_its_batch(self) -> None:
        """Whoever ends the task gets it back before the next events, if not at once."""
        waiting = asyncio.Event()
        seen = []

        class Stubborn:
            """Goes on, and has more to do than anybody has time for."""

            name = "stubborn"

            async def enrich(self, event: dict[str, Any]) -> dict[str, Any]:
                seen.append(event)
                if not waiting.is_set():
                    waiting.set()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.Event().wait()
                time.sleep(0.01)  # noqa: ASYNC251 - as bad plugins do
                return {}

        async def work() -> None:
            lines = (msgspec.json.encode(BAD) + b"\n") * 1000
            task = asyncio.create_task(hosted.segment.process(lines, ()))
            await waiting.wait()
            task.cancel()
            await task

        segment = stage(Stubborn(), budget_seconds=20.0)
        with Hosted(segment) as hosted, pytest.raises(asyncio.CancelledError):
            hosted.run(work())
        assert 0 < len(seen) < 1000


class TestBreaker:
    @pytest.mark.parametrize(
        ("fail", "verdict"),
        [
            ("open", Verdict.KEEP),
            ("closed", Verdict.DROPPED_BREAKER),
            ("dead_letter", Verdict.DEAD_LETTER),
        ],
    )
    def test_a_plugin_that_fails_too_often_is_left_out(
        self, fail: FailurePolicy, verdict: Verdict
    ) -> None:
        plugin = Picky(raise_secret)
        with Hosted(stage(plugin, "filter", fail=fail, breaker_failures=2)) as hosted:
            outcome = hosted.process(GOOD, BAD, GOOD, BAD, BAD, GOOD, GOOD)
            assert verdicts_of(outcome)[-2:] == [verdict] * 2
            assert events_of(outcome)[-2:] == ([GOOD] * 2 if fail != "closed" else [SEEN] * 2)
            assert hosted.counts[0].breaker_open
            assert hosted.counts[0].skipped == 2
            assert hosted.run(hosted.segment.health()) == {"Picky": False}
            assert verdicts_of(hosted.process(GOOD)) == [verdict]
        assert plugin.calls == 5

    def test_the_first_event_that_goes_well_takes_it_back(self) -> None:
        plugin = Picky(raise_secret)
        with Hosted(stage(plugin, "filter", breaker_failures=1, breaker_seconds=0)) as hosted:
            outcome = hosted.process(BAD, BAD, GOOD, GOOD)
        assert verdicts_of(outcome)[2:] == [Verdict.KEEP] * 2
        assert not hosted.counts[0].breaker_open

    @pytest.mark.parametrize("kind", ["filter", "enricher", "redactor"])
    def test_results_that_json_cannot_express_count(self, kind: StageKind) -> None:
        plugin = Picky(lambda event: {**event, "odd": object()})
        with Hosted(stage(plugin, kind, breaker_failures=3)) as hosted:
            hosted.process(BAD, BAD, GOOD, BAD)
            assert not hosted.counts[0].breaker_open
            hosted.process(BAD, BAD)
            assert hosted.counts[0].breaker_open

    def test_only_failures_in_a_row_count(self) -> None:
        breaker = Breaker(3, 60.0)
        assert not any(breaker.fail(number) for number in (1, 2, 4, 5, 7))
        assert [breaker.fail(8), breaker.fail(9)] == [False, True]

    def test_one_event_decides_when_the_time_is_over(self) -> None:
        now = 0.0
        breaker = Breaker(1, 60.0, lambda: now)
        assert breaker.admit(10) == 10
        breaker.fail(0)
        assert breaker.admit(10) == 0
        now = 60.0
        assert breaker.admit(10) == 1
        breaker.fail(5)
        assert breaker.admit(10) == 0
        now = 120.0
        assert (breaker.succeed(), breaker.admit(10)) == (True, 10)
