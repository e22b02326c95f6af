"""Python plugins get what fapilog gives them, and what they return does what it does there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from fapilog.plugins.enrichers.runtime_info import RuntimeInfoEnricher
from fapilog.plugins.filters.level import LevelFilter

from ingest.errors import BootError
from ingest.pipeline.catalogue import METHODS
from ingest.pipeline.exchange import Verdict
from tests.segments import Hosted, event, events_of, stage, verdicts_of

Change = Callable[[dict[str, Any]], Any]


class Filter:
    """Does with an event what it is told to."""

    name = "filter"

    def __init__(self, change: Change) -> None:
        self._change = change

    async def filter(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - anything
        return self._change(event)


class Enricher:
    """Says of an event what it is told to, and remembers what it saw."""

    name = "enricher"

    def __init__(self, change: Change) -> None:
        self._change = change
        self.seen: list[dict[str, Any]] = []

    async def enrich(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - anything
        self.seen.append(msgspec.json.decode(msgspec.json.encode(event)))
        return self._change(event)


class Redactor:
    """Does with an event what it is told to."""

    name = "redactor"
    last_redacted_count = 0

    def __init__(self, change: Change, redacted: int = 0) -> None:
        self._change = change
        self._redacted = redacted

    async def redact(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - anything
        self.last_redacted_count = self._redacted
        return self._change(event)


class Processor:
    """Does with a line what it is told to."""

    name = "processor"

    def __init__(self, change: Callable[[memoryview], Any]) -> None:
        self._change = change

    async def process(self, view: memoryview) -> Any:  # noqa: ANN401 - anything
        return self._change(view)


def masking(*keys: str) -> Redactor:
    """Return a redactor that masks in place, as fapilog's do."""

    def mask(event: dict[str, Any]) -> dict[str, Any]:
        for key in keys:
            if key in event["data"]:
                event["data"][key] = "***"
        return event

    return Redactor(mask)


class TestFilters:
    def test_a_filter_drops_what_it_returns_none_for(self) -> None:
        with Hosted(stage("level", "filter", config={"min_level": "WARNING"})) as hosted:
            outcome = hosted.process(event(level="INFO"), event("b", level="ERROR"))
        assert verdicts_of(outcome) == [Verdict.FILTERED, Verdict.KEEP]
        assert [each["message"] for each in events_of(outcome)] == ["b"]
        assert (hosted.counts[0].events, hosted.counts[0].filtered) == (2, 1)

    def test_a_filter_changes_the_event(self) -> None:
        with Hosted(stage(Filter(lambda event: {**event, "kept": True}))) as hosted:
            assert hosted.pass_through(event()) == [event(kept=True)]

    def test_the_stage_that_dropped_the_event_is_told(self) -> None:
        drop = Filter(lambda event: None if event["message"] == "b" else event)
        with Hosted(stage(LevelFilter()), stage(drop)) as hosted:
            outcome = hosted.process(event("a"), event("b"), event(level="DEBUG"))
        assert list(outcome.verdicts) == [0, 1, 1]
        assert list(outcome.stages[1:]) == [1, 0]

    def test_the_rate_of_a_sampling_filter_is_told(self) -> None:
        with Hosted(stage("sampling", "filter", config={"sample_rate": 0.25})) as hosted:
            hosted.process(event())
        assert hosted.counts[0].sample_rate == 0.25


class TestEnrichers:
    def test_results_are_merged_as_fapilog_merges_them(self) -> None:
        """The example of section 2.3 of the specification."""
        base = {"data": {"k": 1}, "diagnostics": {"host": "client", "x": 0}}

        def fail(_: dict[str, Any]) -> None:
            raise RuntimeError

        first = Enricher(lambda _: {"diagnostics": {"x": 1}, "data": 5, "new": 1})
        with Hosted(
            stage(first), stage(Enricher(fail), fail="open"), stage(RuntimeInfoEnricher())
        ) as hosted:
            (result,) = hosted.pass_through(base)
        assert (result["data"], result["new"]) == (5, 1)
        assert result["diagnostics"]["x"] == 1
        assert result["diagnostics"]["service"] == "fapilog"
        assert result["diagnostics"]["host"] != "client"

    @pytest.mark.parametrize(
        ("base", "update", "merged"),
        [
            ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
            ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
            ({"a": [1]}, {"a": [2]}, {"a": [2]}),
            ({"a": {"b": 1}}, {"a": None}, {"a": None}),
            ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
            ({"a": 1}, {}, {"a": 1}),
        ],
    )
    def test_objects_are_merged_and_everything_else_replaced(
        self, base: dict[str, Any], update: dict[str, Any], merged: dict[str, Any]
    ) -> None:
        with Hosted(stage(Enricher(lambda _: update))) as hosted:
            assert hosted.pass_through(base) == [merged]

    def test_all_see_the_event_before_enrichment(self) -> None:
        def spoil(event: dict[str, Any]) -> dict[str, Any]:
            event["message"] = "spoilt"
            return {"data": {"first": 1}}

        second = Enricher(lambda _: {"data": {"second": 2}})
        with Hosted(stage(Enricher(spoil)), stage(second)) as hosted:
            assert hosted.pass_through(event()) == [event(data={"first": 1, "second": 2})]
        assert second.seen == [event()]

    def test_what_an_enricher_shares_is_not_redacted_in_its_hands(self) -> None:
        shared = {"password": "hunter2"}
        enricher = Enricher(lambda _: {"data": shared})
        bare = {"message": "without data"}
        with Hosted(stage(enricher), stage(masking("password"))) as hosted:
            assert hosted.pass_through(bare) == [{**bare, "data": {"password": "***"}}]
        assert shared == {"password": "hunter2"}


class TestRedactors:
    def test_redactors_run_one_after_the_other(self) -> None:
        with Hosted(stage(masking("a")), stage(masking("b"))) as hosted:
            result = hosted.pass_through(event(data={"a": 1, "b": 2, "c": 3}))
        assert result == [event(data={"a": "***", "b": "***", "c": 3})]

    def test_what_they_masked_is_counted(self) -> None:
        with Hosted(stage(Redactor(lambda event: event, redacted=3))) as hosted:
            hosted.process(event(), event())
        assert hosted.counts[0].redacted == 6


class TestProcessors:
    def test_a_processor_sees_the_bytes_that_are_stored(self) -> None:
        seen = []

        def remember(view: memoryview) -> memoryview:
            seen.append(bytes(view))
            return view

        with Hosted(stage(Processor(remember))) as hosted:
            outcome = hosted.process(event("é"))
        assert seen == [msgspec.json.encode(event("é"))]
        assert outcome.lines == seen[0] + b"\n"

    def test_what_it_returns_is_the_line(self) -> None:
        with Hosted(stage(Processor(lambda _: memoryview(b'{"a": 1}')))) as hosted:
            assert hosted.process(event()).lines == b'{"a": 1}\n'


class TestCoroutines:
    def test_a_plugin_may_wait(self) -> None:
        class Patient:
            """Waits in all the ways there are."""

            name = "patient"

            async def start(self) -> None:
                self._lock = asyncio.Lock()

            async def enrich(self, event: dict[str, Any]) -> dict[str, Any]:
                async with self._lock, asyncio.timeout(10):
                    await asyncio.sleep(0)
                    await asyncio.create_task(asyncio.sleep(0.001))
                return {"data": {"waited": event["message"]}}

        with Hosted(stage(Patient())) as hosted:
            results = hosted.pass_through(*(event(str(number)) for number in range(5)))
        assert [result["data"]["waited"] for result in results] == ["0", "1", "2", "3", "4"]

    def test_the_timeout_of_a_plugin_is_its_own(self) -> None:
        class Impatient:
            """Waits for nothing, but not for long."""

            name = "impatient"

            async def enrich(self, _: dict[str, Any]) -> dict[str, Any]:
                try:
                    async with asyncio.timeout(0.001):
                        await asyncio.Event().wait()
                except TimeoutError:
                    return {"data": {"late": True}}
                return {}

        with Hosted(stage(Impatient())) as hosted:
            assert hosted.pass_through(event()) == [event(data={"late": True})]

    def test_the_loop_has_its_turn_while_a_batch_is_in_work(self) -> None:
        turns = 0

        def spin(_: dict[str, Any]) -> dict[str, Any]:
            until = time.monotonic() + 0.002
            while time.monotonic() < until:
                pass
            return {}

        async def work() -> None:
            loop = asyncio.get_running_loop()

            def turn() -> None:
                nonlocal turns
                turns += 1
                loop.call_later(0.001, turn)

            turn()
            lines = msgspec.json.encode(event()) + b"\n"
            await hosted.segment.process(lines * 150, ())

        with Hosted(stage(Enricher(spin))) as hosted:
            hosted.run(work())
        assert turns > 2


class TestLife:
    def test_plugins_start_and_stop_in_fapilogs_order(self) -> None:
        log: list[str] = []

        class Lively:
            """Logs its life."""

            def __init__(self, name: str) -> None:
                self.name = name

            async def start(self) -> None:
                log.append(f"+{self.name}")

            async def stop(self) -> None:
                log.append(f"-{self.name}")

            async def filter(self, event: dict[str, Any]) -> dict[str, Any]:
                return event

            async def enrich(self, _: dict[str, Any]) -> dict[str, Any]:
                return {}

            async def redact(self, event: dict[str, Any]) -> dict[str, Any]:
                return event

            async def process(self, view: memoryview) -> memoryview:
                return view

        stages = [stage(Lively(f"{kind}{number}"), kind) for kind in METHODS for number in (1, 2)]
        with Hosted(*stages):
            assert log == [
                *("+enricher1", "+enricher2", "+redactor1", "+redactor2"),
                *("+processor1", "+processor2", "+filter1", "+filter2"),
            ]
            log.clear()
        assert log == [
            *("-processor2", "-processor1", "-filter2", "-filter1"),
            *("-redactor2", "-redactor1", "-enricher2", "-enricher1"),
        ]

    def test_stages_out_of_order_are_refused(self) -> None:
        with pytest.raises(ValueError, match="by kind"):
            Hosted(stage(masking()), stage(LevelFilter()))

    def test_a_plugin_of_another_kind_does_not_start(self) -> None:
        with pytest.raises(BootError, match="no redact"), Hosted(stage(LevelFilter(), "redactor")):
            pass

    def test_a_plugin_that_is_not_there_does_not_start(self) -> None:
        with pytest.raises(BootError, match="nonsense"), Hosted(stage("nonsense", "filter")):
            pass

    def test_health_is_what_the_plugins_say(self) -> None:
        class Sick(Filter):
            """Says that it is not well."""

            async def health_check(self) -> bool:
                return False

        class Broken(Filter):
            """Cannot even say that."""

            async def health_check(self) -> bool:
                raise OSError

        stages = [stage(kind(lambda event: event)) for kind in (Filter, Sick, Broken)]
        with Hosted(*stages) as hosted:
            assert hosted.run(hosted.segment.health()) == {
                "Filter": True,
                "Sick": False,
                "Broken": False,
            }


def test_a_large_batch_comes_out_in_order() -> None:
    """Chunk by chunk, and with gaps."""
    drop = Filter(lambda event: event if event["data"]["number"] % 3 else None)
    tag = Enricher(lambda event: {"data": {"tag": event["data"]["number"]}})
    events = [event(data={"number": number, "fill": "x" * 500}) for number in range(2000)]
    with Hosted(stage(drop), stage(tag), stage(Processor(lambda view: view))) as hosted:
        outcome = hosted.process(*events)
    kept = [number for number in range(2000) if number % 3]
    assert [each["data"]["tag"] for each in events_of(outcome)] == kept
    assert [at for at, verdict in enumerate(outcome.verdicts) if not verdict] == kept


def test_stages_behind_one_that_drops_everything_have_nothing_to_do() -> None:
    stages = [
        stage(Filter(lambda _: None)),
        stage(Enricher(lambda _: {})),
        stage(masking("password")),
        stage(Processor(lambda view: view)),
    ]
    with Hosted(*stages) as hosted:
        outcome = hosted.process(event(), event())
    assert (outcome.lines, outcome.verdicts) == (b"", b"\1\1")
    assert [hosted.counts[at].events for at in range(4)] == [2, 0, 0, 0]


def test_an_empty_batch_is_nothing() -> None:
    with Hosted(stage(LevelFilter())) as hosted:
        outcome = hosted.process()
    assert (outcome.lines, outcome.verdicts) == (b"", b"")
