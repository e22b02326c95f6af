"""fapilog's classes as the oracle runs them: the same, but for what is unsafe on a server."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fapilog.plugins.redactors.field_mask import FieldMaskRedactor
from fapilog.plugins.redactors.regex_mask import RegexMaskRedactor
from fapilog.plugins.redactors.url_credentials import UrlCredentialsRedactor
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract import StageKind
from ingest.errors import BootError
from ingest.pipeline import exchange, reference
from ingest.pipeline.exchange import Verdict
from tests.segments import Hosted, event, events_of, stage, verdicts_of

KEYS = st.sampled_from(["a", "b", "pass", "0", "", "a.b", "*", "x[*]", "A"])
LEAVES = st.sampled_from([None, True, 1, 2.5, "", "***", "text", "https://u:p@h/", "//u@h"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
EVENTS = st.dictionaries(KEYS, VALUES, max_size=5)
SEGMENTS = st.sampled_from(["a", "b", "pass", "0", "", "*", "[*]", "a[*]", "x[*]", "A"])
PATTERNS = st.sampled_from([".*pass.*", "(?i)a", r"a\.b", ".*[.]0", "", r"\..*", ".*b"])


def redacted(redactor: Any, original: dict[str, Any]) -> tuple[dict[str, Any], int]:  # noqa: ANN401
    """Return what a redactor makes of a copy of the event, and how much it says it masked."""
    coroutine = redactor.redact(copy.deepcopy(original))
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value, redactor.last_redacted_count


class TestSameAsFapilog:
    @given(EVENTS, st.lists(st.lists(SEGMENTS, max_size=4).map(".".join), max_size=4))
    def test_field_mask(self, original: dict[str, Any], fields: list[str]) -> None:
        ours, theirs = (
            redacted(kind(config={"fields_to_mask": fields}), original)
            for kind in (reference.FieldMask, FieldMaskRedactor)
        )
        assert ours == theirs

    @given(EVENTS, st.lists(PATTERNS, max_size=3))
    def test_regex_mask(self, original: dict[str, Any], patterns: list[str]) -> None:
        ours, theirs = (
            redacted(kind(config={"patterns": patterns}), original)
            for kind in (reference.RegexMask, RegexMaskRedactor)
        )
        assert ours == theirs

    @given(EVENTS)
    def test_url_credentials(self, original: dict[str, Any]) -> None:
        assert redacted(reference.UrlCredentials(), original) == redacted(
            UrlCredentialsRedactor(), original
        )


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "stripped"),
        [
            ("https://user:pass@h.io:8443/p?q=1#f", "https://h.io:8443/p?q=1#f"),
            ("redis://:pw@h:6379/0", "redis://h:6379/0"),
            ("https://u:p@HOST/x", "https://host/x"),
            ("//u:p@h/x", "//h/x"),
            ("see https://u:p@h/ here", "see https://u:p@h/ here"),
            ("HTTPS://u:p@h/", "HTTPS://u:p@h/"),
            ("https://h/?mail=a@b", "https://h/?mail=a@b"),
            ("https://:@h/", "https://:@h/"),
            # What fapilog breaks or leaves.
            ("http://u:p@[::1]:80/x", "http://[::1]:80/x"),
            ("http://u:p@[fe80::1%eth0]/", "http://[fe80::1%eth0]/"),
            ("http://u:p@h:99999/x", "http://h:99999/x"),
            ("http://u:p@h:port/x?a@b", "http://h:port/x?a@b"),
            ("http://u:p@[bad/x", "http://[bad/x"),
            ("http://[bad/x@y", "http://[bad/x@y"),
            ("http://a@b:p@h:x", "http://h:x"),
            ("http://u:p@//evil/x?q#f", "http:////evil/x?q#f"),
            ("https://u:p@h/" + "x" * 10_000, "https://h/" + "x" * 10_000),
        ],
    )
    def test_credentials_go_and_everything_else_stays(self, url: str, stripped: str) -> None:
        result, count = redacted(reference.UrlCredentials(), {"data": {"urls": [url]}})
        assert result == {"data": {"urls": [stripped]}}
        assert count == (url != stripped)


class TestNoGuards:
    @pytest.mark.parametrize("nested", ["dict", "list"])
    def test_no_depth_hides_a_secret(self, nested: str) -> None:
        value: Any = {"password": "hunter2", "url": "https://u:hunter2@h/", "body": "hunter2"}
        for _ in range(1000):
            value = {"a": value} if nested == "dict" else [value]
        stages = [
            stage("regex_mask", "redactor", config={"patterns": [".*password"]}),
            stage("url-credentials", "redactor"),
            stage("field_blocker", "redactor"),
            stage("string_truncate", "redactor", config={"max_string_length": 5}),
        ]
        with Hosted(*stages) as hosted:
            outcome = hosted.process(event(data={"v": value}))
        assert verdicts_of(outcome) == [Verdict.KEEP]
        assert b"hunter2" not in outcome.lines
        assert b'"password":"***"' in outcome.lines

    def test_no_number_of_keys_hides_a_secret(self) -> None:
        many = {f"k{number}": {"n": 1} for number in range(5000)} | {
            "last": {"password": "hunter2", "url": "https://u:hunter2@h/", "body": "hunter2"}
        }
        stages = [
            stage("field_mask", "redactor", config={"fields_to_mask": ["data.*.password"]}),
            stage("url_credentials", "redactor"),
            stage("field_blocker", "redactor"),
        ]
        with Hosted(*stages) as hosted:
            assert b"hunter2" not in hosted.process(event(data=many)).lines

    def test_paths_without_number_are_not_all_remembered(self) -> None:
        redactor = reference.RegexMask(patterns=[".*password"])
        for number in range(40_000):
            result, _ = redacted(redactor, {f"{number}": 1, f"{number}password": 2})
            assert result == {f"{number}": 1, f"{number}password": "***"}
        assert len(redactor._known) <= 16_384

    @pytest.mark.parametrize("pattern", ["(", "(a+)+"])
    def test_a_pattern_that_cannot_be_applied_is_refused(self, pattern: str) -> None:
        config = {"patterns": [pattern]}
        with pytest.raises(BootError), Hosted(stage("regex_mask", "redactor", config=config)):
            pass


class TestTraceSampling:
    async def test_the_trace_id_is_found_in_the_context(self) -> None:
        plugin = reference.TraceSampling(sample_rate=0.5)
        kept = set()
        for number in range(64):
            answers = {
                await plugin.filter(original) is not None
                for original in (
                    event(context={"trace_id": str(number)}),
                    event(trace_id=str(number)),
                )
            }
            assert len(answers) == 1
            kept |= answers
        assert kept == {True, False}

    async def test_errors_always_pass(self) -> None:
        plugin = reference.TraceSampling(sample_rate=0.0)
        assert await plugin.filter(event(level="ERROR", context={"trace_id": "1"})) is not None


class TestOrigin:
    def test_every_run_has_its_own(self) -> None:
        # 12:34:56.789 on the first day of 2026.
        when = 1_767_270_896_789_654_321
        origins = [
            exchange.Origin(1, "in", "10.0.0.1:99", when, 3),
            exchange.Origin(2, "udp", None, 0, 4),
        ]
        forged = {"ingest": {"peer": "forged", "extra": 1}, "host": "client"}
        stages = [
            stage("level", "filter"),
            stage("ingest.pipeline.reference:Origin", "enricher", name="origin"),
            stage("field_mask", "redactor", config={"fields_to_mask": ["diagnostics.ingest.peer"]}),
        ]
        with Hosted(*stages) as hosted:
            outcome = hosted.process(
                event(diagnostics=forged), event(level="DEBUG"), {"level": "INFO"}, origins=origins
            )
        assert [each["diagnostics"] for each in events_of(outcome)] == [
            {
                "ingest": {
                    "received_at": "2026-01-01T12:34:56.789Z",
                    "peer": "***",
                    "listener": "in",
                    "shard": 3,
                },
                "host": "client",
            },
            {"ingest": {"received_at": "1970-01-01T00:00:00.000Z", "listener": "udp", "shard": 4}},
        ]
        assert hosted.counts[1].events == 2


class TestLoading:
    @pytest.mark.parametrize(
        ("name", "kind", "config"),
        [
            ("size_guard", "processor", {"config": {"max_bytes": 100}}),
            ("zero-copy", "processor", {}),
            ("k8s", "enricher", {"prefix": "pod_"}),
            ("runtime_info", "enricher", {}),
            ("RATE-LIMIT", "filter", {"capacity": 3}),
        ],
    )
    def test_fapilogs_plugins_are_found_by_name(
        self,
        name: str,
        kind: StageKind,
        config: dict[str, Any],
    ) -> None:
        with Hosted(stage(name, kind, config=config)) as hosted:
            assert verdicts_of(hosted.process(event())) == [Verdict.KEEP]

    def test_a_wrong_setting_is_told(self) -> None:
        with (
            pytest.raises(BootError, match="max_bites"),
            Hosted(stage("size_guard", "processor", config={"max_bites": 1})),
        ):
            pass


def test_fapilogs_filters_are_themselves() -> None:
    """Those that need no override are loaded as they are."""
    with Hosted(stage("first_occurrence", "filter")) as hosted:
        outcome = hosted.process(event("a"), event("a"), event("b"))
    assert list(outcome.verdicts) == [0, 1, 0]
