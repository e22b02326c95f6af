"""A plugin that fails costs its policy's price: nothing, the event, or a dead letter."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
import structlog

from ingest.contract import FailurePolicy, StageKind
from ingest.errors import BootError
from ingest.pipeline.exchange import Verdict
from tests.segments import (
    BAD,
    GOOD,
    SECRET,
    SEEN,
    Hosted,
    Picky,
    event,
    events_of,
    raise_secret,
    spin,
    stage,
    verdicts_of,
)


def raise_cancelled(_: object) -> None:
    raise asyncio.CancelledError


def raise_interrupted(_: object) -> None:
    raise KeyboardInterrupt


def recurse(event: object) -> object:
    return recurse(event)


FAILURES: dict[str, Callable[[Any], Any]] = {
    "raises": raise_secret,
    "exits": lambda _: sys.exit(3),
    "is cancelled": raise_cancelled,
    "is interrupted": raise_interrupted,
    "recurses": recurse,
    "returns a number": lambda _: 5,
    "returns a list": lambda _: [1],
    "returns text": lambda _: "{}",
}
KINDS = ("filter", "enricher", "redactor", "processor")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failure", FAILURES)
class TestPolicies:
    def test_open_goes_on_without_the_plugin(self, kind: StageKind, failure: str) -> None:
        with Hosted(stage(Picky(FAILURES[failure]), kind, fail="open")) as hosted:
            outcome = hosted.process(GOOD, BAD, GOOD)
        assert verdicts_of(outcome) == [Verdict.KEEP] * 3
        assert events_of(outcome) == [SEEN, BAD, SEEN]
        assert (hosted.counts[0].events, hosted.counts[0].errors) == (3, 1)

    def test_closed_drops_the_event(self, kind: StageKind, failure: str) -> None:
        with Hosted(stage(Picky(FAILURES[failure]), kind, fail="closed")) as hosted:
            outcome = hosted.process(GOOD, BAD, GOOD)
        assert verdicts_of(outcome) == [Verdict.KEEP, Verdict.DROPPED_ERROR, Verdict.KEEP]
        assert events_of(outcome) == [SEEN, SEEN]

    def test_dead_letter_takes_it_aside(self, kind: StageKind, failure: str) -> None:
        with Hosted(stage(Picky(FAILURES[failure]), kind, fail="dead_letter")) as hosted:
            outcome = hosted.process(GOOD, BAD, GOOD)
        assert verdicts_of(outcome) == [Verdict.KEEP, Verdict.DEAD_LETTER, Verdict.KEEP]
        dead = events_of(outcome)[1]
        if kind == "redactor":
            assert dead.keys() == BAD.keys()
            assert (dead["message"], dead["data"]) == ("***", {"password": "***"})
            assert SECRET.encode() not in outcome.lines
        else:
            assert dead == BAD


class TestResults:
    @pytest.mark.parametrize(
        "value", [object(), {1: {2, object()}}, "\ud800", msgspec.Raw(b"1\n2")]
    )
    @pytest.mark.parametrize("kind", ["filter", "enricher", "redactor"])
    def test_what_json_cannot_express_is_a_failure(self, kind: StageKind, value: object) -> None:
        plugin = Picky(lambda event: {**event, "odd": value})
        with Hosted(stage(plugin, kind, fail="open")) as hosted:
            assert hosted.pass_through(GOOD, BAD) == [SEEN, BAD]
        assert hosted.counts[0].errors == 1

    @pytest.mark.parametrize("kind", ["filter", "enricher", "redactor"])
    def test_it_may_become_a_dead_letter(self, kind: StageKind) -> None:
        plugin = Picky(lambda event: {**event, "odd": object()})
        with Hosted(stage(plugin, kind, fail="dead_letter")) as hosted:
            outcome = hosted.process(GOOD, BAD)
        assert verdicts_of(outcome) == [Verdict.KEEP, Verdict.DEAD_LETTER]
        assert (SECRET.encode() in outcome.lines) == (kind != "redactor")

    @pytest.mark.parametrize("kind", ["filter", "enricher", "redactor"])
    def test_any_mapping_will_do(self, kind: StageKind) -> None:
        plugin = Picky(lambda event: MappingProxyType({**event, "seen": False}))
        with Hosted(stage(plugin, kind)) as hosted:
            assert hosted.pass_through(BAD) == [{**BAD, "seen": False}]

    @pytest.mark.parametrize(
        "line", [b"", b"[]", b"{", b'{"a":1}\n{}', b'{"a":1}\r', b'{"a":"\xff"}', b'{"a":NaN}']
    )
    def test_a_processor_returns_one_line_with_an_object(self, line: bytes) -> None:
        plugin = Picky(lambda _: memoryview(line))
        with Hosted(stage(plugin, "processor", fail="open")) as hosted:
            assert hosted.pass_through(GOOD, BAD) == [SEEN, BAD]

    def test_a_redactor_that_spoilt_an_event_before_it_raised_is_undone(self) -> None:
        def spoil(event: dict[str, Any]) -> None:
            event["data"]["password"] = object()
            del event["level"]
            raise OSError

        stages = [
            stage(Picky(lambda event: {**event, "first": 1}), "redactor"),
            stage(Picky(spoil), "redactor", fail="open"),
            stage(Picky(lambda event: {**event, "third": 3}), "redactor"),
        ]
        with Hosted(*stages) as hosted:
            assert hosted.pass_through(BAD) == [{**BAD, "first": 1, "third": 3}]

    @pytest.mark.parametrize("fail", ["open", "dead_letter"])
    def test_an_enricher_that_spoilt_a_group_before_it_raised_is_undone(
        self, fail: FailurePolicy
    ) -> None:
        def spoil(event: dict[str, Any]) -> None:
            event["data"]["password"] = object()
            raise OSError

        seen: list[dict[str, Any]] = []

        def remember(event: dict[str, Any]) -> dict[str, Any]:
            seen.append(event)
            return {}

        stages = [
            stage(Picky(spoil), "enricher", fail=fail),
            stage(Picky(remember), "enricher"),
        ]
        with Hosted(*stages) as hosted:
            assert hosted.pass_through(BAD) == [BAD]
        assert fail != "open" or seen == [BAD]


class TestDeadLetters:
    def test_of_one_that_could_not_be_redacted_only_the_structure_is_left(self) -> None:
        bad = event("bad", data={"list": [1, {"password": SECRET}, None], "empty": []})
        with Hosted(stage(Picky(raise_secret), "redactor", fail="dead_letter")) as hosted:
            (dead,) = hosted.pass_through(bad)
        assert dead["data"] == {"list": ["***", {"password": "***"}, "***"], "empty": []}
        assert dead["level"] == "***"

    def test_they_are_redacted_by_the_stages_behind(self) -> None:
        def mask(event: dict[str, Any]) -> dict[str, Any]:
            event["data"]["password"] = "***"  # noqa: S105
            return event

        stages = [
            stage(Picky(raise_secret), "filter", fail="dead_letter"),
            stage(Picky(lambda _: {"enriched": 1}), "enricher"),
            stage(Picky(mask), "redactor"),
            stage(Picky(raise_secret), "processor"),
        ]
        with Hosted(*stages) as hosted:
            outcome = hosted.process(BAD, GOOD)
        assert verdicts_of(outcome) == [Verdict.DEAD_LETTER, Verdict.KEEP]
        assert outcome.stages[0] == 0
        assert events_of(outcome)[0] == event("bad", data={"password": "***"})

    @pytest.mark.parametrize(
        ("fail", "verdict", "lines"),
        [
            ("open", Verdict.DEAD_LETTER, [BAD]),
            ("closed", Verdict.DROPPED_ERROR, []),
            ("dead_letter", Verdict.DEAD_LETTER, None),
        ],
    )
    def test_a_redactor_that_fails_at_one_follows_its_own_policy(
        self, fail: FailurePolicy, verdict: Verdict, lines: list[dict[str, Any]] | None
    ) -> None:
        stages = [
            stage(Picky(raise_secret), "filter", fail="dead_letter"),
            stage(Picky(raise_secret), "redactor", fail=fail),
        ]
        with Hosted(*stages) as hosted:
            outcome = hosted.process(BAD)
        assert verdicts_of(outcome) == [verdict]
        if lines is None:
            assert SECRET.encode() not in outcome.lines
        else:
            assert events_of(outcome) == lines


class TestLog:
    def test_it_says_where_and_never_what(self) -> None:
        with structlog.testing.capture_logs() as log:
            with Hosted(stage(Picky(raise_secret), "filter", name="picky")) as hosted:
                hosted.process(BAD, GOOD, BAD)
            assert SECRET not in str(log)
        first, last = log
        assert first["event"] == last["event"] == "A plugin failed."
        assert first["reason"].startswith("picky: ValueError raised at ")
        assert f"{raise_secret.__code__.co_filename}:" in first["reason"]
        assert (first["failures"], last["failures"]) == (1, 1)

    def test_a_plugin_that_makes_up_exceptions_does_not_fill_the_memory(self) -> None:
        def fail(_: object) -> None:
            raise type(f"Error{plugin.calls}", (Exception,), {})

        plugin = Picky(fail)
        with structlog.testing.capture_logs() as log, Hosted(stage(plugin, "filter")) as hosted:
            hosted.process(*[BAD] * 200)
        assert len(log) < 100
        assert sum(each["failures"] for each in log) == 200

    def test_a_processors_junk_is_not_quoted(self) -> None:
        junk = memoryview(f'{{"{SECRET}'.encode())
        processor = stage(Picky(lambda _: junk), "processor")
        with structlog.testing.capture_logs() as log, Hosted(processor) as hosted:
            hosted.process(BAD)
        assert [each["reason"] for each in log] == ["Picky: returned what is not JSON"]


def test_the_host_itself_is_quick_to_import() -> None:
    """A worker without Python plugins has no use for fapilog, nor for pydantic."""
    slow = "{'fapilog', 'pydantic'}"
    code = f"import sys, ingest.pipeline.host; sys.exit(len({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestStart:
    class Dead:
        """Does not start."""

        name = "dead"

        async def start(self) -> None:
            raise OSError(SECRET)

        async def redact(self, event: dict[str, Any]) -> dict[str, Any]:
            return event

    @pytest.mark.parametrize("fail", ["closed", "dead_letter"])
    def test_a_plugin_that_is_needed_keeps_the_worker_from_starting(
        self, fail: FailurePolicy
    ) -> None:
        with pytest.raises(BootError) as error, Hosted(stage(self.Dead(), fail=fail)):
            pass
        assert SECRET not in str(error.value)

    def test_one_that_is_not_is_left_out(self) -> None:
        dead = stage(self.Dead(), fail="open")
        with structlog.testing.capture_logs() as log, Hosted(dead) as hosted:
            assert hosted.pass_through(BAD) == [BAD]
            assert hosted.run(hosted.segment.health()) == {"Dead": False}
        assert [each["event"] for each in log] == ["A plugin did not start and is left out."]

    def test_one_that_does_not_stop_lets_the_others_stop(self) -> None:
        stopped = []

        class Stopping(Picky):
            """Stops badly."""

            async def stop(self) -> None:
                stopped.append(self)
                raise_secret(None)

        stages = [stage(Stopping(spin), "filter")] * 2
        with structlog.testing.capture_logs() as log, Hosted(*stages):
            pass
        assert len(stopped) == 2
        assert SECRET not in str(log)
