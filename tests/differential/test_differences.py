"""Where stages are meant to differ from fapilog: what it does, and what is done here.

Each test belongs to a row of the table in docs/pipeline.md.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from fapilog.core import levels
from fapilog.core.settings import Settings
from fapilog.plugins.filters.adaptive_sampling import AdaptiveSamplingFilter
from fapilog.plugins.filters.first_occurrence import FirstOccurrenceFilter
from fapilog.plugins.filters.level import LevelFilter
from fapilog.plugins.filters.rate_limit import RateLimitFilter
from fapilog.plugins.filters.trace_sampling import TraceSamplingFilter
from fapilog.plugins.redactors.field_blocker import FieldBlockerRedactor
from fapilog.plugins.redactors.field_mask import FieldMaskRedactor
from fapilog.plugins.redactors.regex_mask import RegexMaskRedactor
from fapilog.plugins.redactors.string_truncate import StringTruncateRedactor
from fapilog.plugins.redactors.url_credentials import UrlCredentialsRedactor
from pydantic import ValidationError

from ingest.config.expansion import expand
from ingest.config.pipeline import Pipeline
from tests.differential.comparing import native
from tests.differential.fapilog_worker import Worker

MASKED = {"data": {"password": "***"}}
SECRET = {"data": {"password": "hunter2"}}


def here(line: str | dict[str, Any], **pipeline: Any) -> tuple[str, Any]:  # noqa: ANN401 - tables
    """Return what native stages make of a line: the outcome, and the event if there is one."""
    kinds: dict[str, Any] = {"filters": [], "enrichers": [], "redactors": []}
    text = line if isinstance(line, str) else json.dumps(line)
    ((outcome, stored),) = native(Pipeline.model_validate(kinds | pipeline), [text.encode()])
    return outcome, json.loads(stored) if stored else None


def masked(event: str | dict[str, Any], stage: str, **settings: object) -> Any:  # noqa: ANN401
    """Return what one native redactor makes of an event."""
    outcome, found = here(event, redactors=[stage], config={stage: settings} if settings else {})
    assert outcome == "kept"
    return found


def verdicts(stage: str, events: list[dict[str, Any]], **settings: object) -> list[bool]:
    """Return which events pass a native filter."""
    pipeline = Pipeline.model_validate(
        {"filters": [stage], "enrichers": [], "redactors": [], "config": {stage: settings}}
    )
    outcomes = native(pipeline, [json.dumps(event).encode() for event in events])
    return [outcome == "kept" for outcome, _ in outcomes]


def password_mask() -> FieldMaskRedactor:
    return FieldMaskRedactor(fields_to_mask=["data.password"])


def redacted(redactor: Any, event: dict[str, Any]) -> Any:  # noqa: ANN401 - a plugin
    """Return what fapilog's pipeline makes of an event with one redactor."""
    (written,) = Worker(redactors=[redactor]).flush(event)
    return written


def nested(depth: int, value: object) -> Any:  # noqa: ANN401 - JSON
    return value if depth == 0 else {"a": nested(depth - 1, value)}


class TestEvents:
    """What fapilog's own events never are, and those of senders can be."""

    def test_data_that_is_no_object(self) -> None:
        with pytest.raises(AttributeError):
            Worker().flush({"data": "x"})
        assert here({"data": "x"}) == ("kept", {"data": {"value": "x"}})

    def test_unsafe_marker(self) -> None:
        event = {"data": {"_fapilog_unsafe": True, "password": "hunter2"}}
        assert redacted(password_mask(), event) == event
        assert masked(event, "field_mask", fields_to_mask=["data.password"]) == MASKED

    def test_large_integers(self) -> None:
        event = {**SECRET, "n": 2**64}
        assert redacted(password_mask(), event) == event
        assert here(event, redactors=["field_mask"]) == ("number_out_of_range", None)

    def test_deep_nesting(self) -> None:
        event = {**SECRET, "deep": nested(300, 1)}
        assert redacted(password_mask(), event) == event
        assert here(event, redactors=["field_mask"]) == ("too_deep", None)

    def test_duplicate_keys(self) -> None:
        line = '{"data":{"password":"hunter2"},"data":{}}'
        assert json.loads(line) == {"data": {}}
        assert here(line) == ("duplicate_key", None)


class TestGuards:
    """fapilog leaves what lies behind a guard as it is; here `[limits]` bounds events instead."""

    def test_max_depth(self) -> None:
        event = nested(20, {"token": "hunter2"})
        assert redacted(RegexMaskRedactor(patterns=[".*token"]), event) == event
        blocker = FieldBlockerRedactor(blocked_fields=["token"])
        assert redacted(blocker, event) == event
        for stage, settings in (
            ("regex_mask", {"patterns": [".*token"], "max_depth": 1}),
            ("field_blocker", {"blocked_fields": ["token"], "replacement": "***", "max_depth": 1}),
        ):
            assert masked(event, stage, **settings) == nested(20, {"token": "***"})

    def test_max_keys_scanned(self) -> None:
        many: dict[str, Any] = {f"k{at}": [{}] for at in range(1001)}
        event = {"data": {**many, "z": {"token": "hunter2"}}}
        assert redacted(RegexMaskRedactor(patterns=[".*token"]), event) == event
        assert masked(event, "regex_mask", patterns=[".*token"])["data"]["z"] == {"token": "***"}

    def test_on_guardrail_exceeded(self) -> None:
        event = {"a": {"b": {"c": {"d": "hunter2", "e": 1}}}}
        expected = {"a": {"b": {"c": {"d": "***", "e": 1}}}}
        settings: dict[str, Any] = {"fields_to_mask": ["a.b.c.d"], "max_depth": 2}
        for action, outcome in (
            ("drop", event),
            ("warn", event),
            ("replace_subtree", {"a": {"b": "***"}}),
        ):
            settings["on_guardrail_exceeded"] = action
            assert redacted(FieldMaskRedactor(**settings), event) == outcome
            assert masked(event, "field_mask", **settings) == expected

    def test_max_string_length_of_urls(self) -> None:
        event = {"u": f"https://u:hunter2@h/{'x' * 5000}"}
        assert redacted(UrlCredentialsRedactor(), event) == event
        assert masked(event, "url_credentials") == {"u": f"https://h/{'x' * 5000}"}


class TestRedactors:
    def test_brackets_of_addresses(self) -> None:
        event = {"u": "http://u:p@[::1]:80/x"}
        assert redacted(UrlCredentialsRedactor(), event) == {"u": "http://::1:80/x"}
        assert masked(event, "url_credentials") == {"u": "http://[::1]:80/x"}

    def test_urls_that_cannot_be_parsed(self) -> None:
        event = {"u": "https://u:hunter2@h:99999/"}
        assert redacted(UrlCredentialsRedactor(), event) == event
        assert masked(event, "url_credentials") == {"u": "https://h:99999/"}

    def test_paths_that_begin_with_two_slashes(self) -> None:
        event = {"u": "http://u:p@//v:hunter2@h/"}
        assert redacted(UrlCredentialsRedactor(), event) == {"u": "http://v:hunter2@h/"}
        assert masked(event, "url_credentials") == {"u": "http:////v:hunter2@h/"}

    def test_field_blocker_in_hardened(self) -> None:
        assert Settings().redactor_config.field_blocker.blocked_fields == []
        expanded, _ = expand(Pipeline(preset="hardened"))
        assert "request_body" in expanded.config.builtin("field_blocker").kernel()["blocked_fields"]
        assert "field_blocker" in expanded.redactors

    def test_long_paths(self) -> None:
        key = "k" * 5000
        assert redacted(RegexMaskRedactor(patterns=["token"]), {key: 1}) == {key: 1}
        assert masked({key: 1}, "regex_mask", patterns=["token"]) == {key: "***"}

    def test_keys_spelt_like_a_wildcard(self) -> None:
        event = {"users": [], "users[*]": "hunter2"}
        assert redacted(FieldMaskRedactor(fields_to_mask=["users[*]"]), event) == event
        expected = {"users": [], "users[*]": "***"}
        assert masked(event, "field_mask", fields_to_mask=["users[*]"]) == expected

    def test_digits_of_other_scripts(self) -> None:
        """Python counts them as numbers, and cannot read all of them as such."""
        event = {"a": {"²": "hunter2"}, "b": [{"²": {"c": "hunter2"}}]}
        fields = ["a.²", "b.².c"]
        assert redacted(FieldMaskRedactor(fields_to_mask=fields), event) == event
        expected = {"a": {"²": "***"}, "b": [{"²": {"c": "***"}}]}
        assert masked(event, "field_mask", fields_to_mask=fields) == expected

    def test_patterns_that_are_refused(self) -> None:
        for pattern in ("(.*a+)+", "(unbalanced"):
            assert redacted(RegexMaskRedactor(patterns=[pattern]), {"aa": "hunter2"}) == {
                "aa": "hunter2"
            }
            with pytest.raises(ValidationError, match=re.escape(pattern)):
                here({}, redactors=["regex_mask"], config={"regex_mask": {"patterns": [pattern]}})

    def test_string_truncate_by_settings(self) -> None:
        """Fapilog has the setting and does not hand it to the plugin."""
        assert redacted(StringTruncateRedactor(), {"a": "long"}) == {"a": "long"}
        assert masked({"a": "long"}, "string_truncate", max_string_length=2) == {
            "a": "lo[truncated]"
        }


class TestFilters:
    def test_trace_ids_in_the_context(self) -> None:
        event = {"context": {"trace_id": "17"}}
        fapilog = TraceSamplingFilter(sample_rate=0.5)
        kept = [bool(asyncio.run(fapilog.filter(event))) for _ in range(200)]
        assert set(kept) == {True, False}, "at random"
        assert verdicts("trace_sampling", [event] * 200, sample_rate=0.5) == [True] * 200

    @pytest.mark.parametrize("stage", ["rate_limit", "first_occurrence"])
    def test_containers_as_keys(self, stage: str) -> None:
        values = ({"a": 1}, "{'a': 1}", '{"a":1}')
        events = [{"message": value} for value in values]
        settings: dict[str, Any] = {}
        if stage == "first_occurrence":
            fapilog: Any = FirstOccurrenceFilter()
        else:
            settings = {"key_field": "message", "capacity": 1, "refill_rate_per_sec": 0.0}
            fapilog = RateLimitFilter(**settings)
        kept = [bool(asyncio.run(fapilog.filter(event))) for event in events]
        assert kept == [True, False, True]
        assert verdicts(stage, events, **settings) == [True, True, False]

    def test_state_of_each_worker(self) -> None:
        """Text of senders is not kept, and two workers let twice as much pass."""
        fapilog = RateLimitFilter(key_field="tenant")
        asyncio.run(fapilog.filter({"tenant": "hunter2"}))
        assert list(fapilog._buckets) == ["hunter2"]
        for _worker in range(2):
            assert verdicts("first_occurrence", [{}, {}]) == [True, False]

    def test_memory_of_adaptive_sampling(self) -> None:
        """Ours is measured in adaptive_sampling.rs (`the_memory_for_times_is_bounded`)."""
        fapilog = AdaptiveSamplingFilter(target_eps=1e9)

        async def filter_many() -> None:
            for _ in range(40_000):
                await fapilog.filter({})

        asyncio.run(filter_many())
        assert len(fapilog._timestamps) == 40_000
        assert all(verdicts("adaptive_sampling", [{}] * 40_000, target_eps=1e9))

    def test_registered_levels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(levels._custom_levels, "NOTICE", 35)
        event = {"level": "NOTICE"}
        assert asyncio.run(LevelFilter(min_level="WARNING").filter(event)) == event
        assert verdicts("level", [event], min_level="WARNING") == [False]
