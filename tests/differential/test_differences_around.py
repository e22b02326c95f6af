"""Where the pipeline around the stages is meant to differ from fapilog's, and what is stored.

Each test belongs to a row of the table in docs/pipeline.md.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import fapilog
import pytest
from fapilog.core.serialization import serialize_envelope
from fapilog.core.settings import Settings
from fapilog.plugins.enrichers.kubernetes import KubernetesEnricher
from fapilog.plugins.processors.size_guard import SizeGuardProcessor

from ingest.config.pipeline import Pipeline
from ingest.errors import BootError
from ingest.pipeline.exchange import Verdict
from tests.differential import oracle
from tests.differential.comparing import native
from tests.differential.fapilog_worker import Worker
from tests.segments import Hosted, event, stage, verdicts_of

SECRET = event(data={"password": "hunter2"})
RECEIVED = "2023-11-14T22:13:20.123Z"
"""When `native` says that events are received."""


def stored(line: dict[str, Any], **pipeline: Any) -> Any:  # noqa: ANN401 - tables
    """Return what is stored of an event."""
    kinds: dict[str, Any] = {"filters": [], "enrichers": [], "redactors": []}
    table = Pipeline.model_validate(kinds | pipeline)
    ((outcome, text),) = native(table, [json.dumps(line).encode()])
    assert outcome == "kept"
    return json.loads(text)


class Broken:
    """Fails in the way that it is told."""

    name = "broken"

    def __init__(self, result: object = None) -> None:
        self._result = result

    def fail(self) -> Any:  # noqa: ANN401 - what a plugin returns
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


class Redactor(Broken):
    async def redact(self, event: dict[str, Any]) -> Any:  # noqa: ANN401
        return self.fail()


class Enricher(Broken):
    async def enrich(self, event: dict[str, Any]) -> Any:  # noqa: ANN401
        return self.fail()


class Processor(Broken):
    async def process(self, view: memoryview) -> Any:  # noqa: ANN401
        return self.fail()


class Stamp:
    """A processor that works."""

    name = "stamp"

    async def process(self, view: memoryview) -> memoryview:
        return memoryview(json.dumps({**json.loads(bytes(view)), "stamp": True}).encode())


class Starting(Redactor):
    async def start(self) -> None:
        raise OSError("no database")


class TestFailures:
    def test_redactors_that_raise(self) -> None:
        redactor = Redactor(ValueError())
        assert Worker(redactors=[redactor], fail_mode="closed").flush(SECRET) == [SECRET]
        with Hosted(stage(redactor, fail="closed")) as hosted:
            outcome = hosted.process(SECRET)
        assert (verdicts_of(outcome), outcome.lines) == ([Verdict.DROPPED_ERROR], b"")

    def test_redactors_that_return_no_event(self) -> None:
        assert Worker(redactors=[Redactor(None)]).flush(SECRET) == [SECRET]
        with Hosted(stage(Redactor(None), fail="closed")) as hosted:
            assert verdicts_of(hosted.process(SECRET)) == [Verdict.DROPPED_ERROR]

    def test_plugins_that_do_not_start(self) -> None:
        assert asyncio.run(fapilog._start_plugins([Starting()], "redactor")) == []
        with pytest.raises(BootError, match="did not start"):
            Hosted(stage(Starting(), fail="closed")).__enter__()

    def test_enrichers_that_return_nothing(self) -> None:
        enrichers = [Enricher({"a": 1}), Enricher(None), Enricher({"b": 1})]
        assert Worker(enrichers=enrichers).flush(event()) == [event()]
        with Hosted(*(stage(one, fail="open") for one in enrichers)) as hosted:
            assert hosted.pass_through(event()) == [event(a=1, b=1)]

    def test_processors_that_raise(self) -> None:
        processors = [Stamp(), Processor(ValueError())]
        (written,) = Worker(processors=processors, serialize=True).flush(event())
        assert "stamp" not in written
        with Hosted(*(stage(one, fail="open") for one in processors)) as hosted:
            assert hosted.pass_through(event()) == [event(stamp=True)]


class TestEnrichers:
    def test_origin_that_a_sender_claims(self) -> None:
        """Fapilog's merge would leave `shard` beside what is true."""
        claimed = {"diagnostics": {"ingest": {"peer": "trusted", "more": 1}, "host": "h"}}
        diagnostics = stored(claimed, enrichers=["origin"])["diagnostics"]
        assert diagnostics["host"] == "h"
        assert diagnostics["ingest"] == {
            "received_at": RECEIVED,
            "listener": oracle.LISTENER,
            "shard": oracle.SHARD,
        }
        update = {"diagnostics": {"ingest": diagnostics["ingest"]}}
        (merged,) = Worker(enrichers=[Enricher(update)]).flush(claimed)
        assert merged["diagnostics"]["ingest"]["more"] == 1

    def test_kubernetes_outside_of_a_pod(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("POD_NAME", raising=False)
        assert Worker(enrichers=[KubernetesEnricher()]).flush({}) == [{"diagnostics": {}}]
        assert stored({}, enrichers=["kubernetes"]) == {}

    def test_enrichers_of_presets(self) -> None:
        """Fapilog's describe the process they run in, which here is not the sender's."""
        assert Settings().core.enrichers == ["runtime_info", "context_vars"]
        assert Pipeline(preset="production").enrichers == ("origin",)


class TestEnvelopes:
    @pytest.mark.parametrize("timestamp", ["yesterday", {"a": 1}, [], None, 1e300])
    def test_unusable_timestamps(self, timestamp: object) -> None:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            serialize_envelope(event(timestamp=timestamp))
        log = stored(event(timestamp=timestamp), output="envelope")["log"]
        assert log["timestamp"] == RECEIVED
        assert log.get("_original_timestamp") == timestamp

    def test_missing_members(self) -> None:
        with pytest.raises(ValueError, match="missing"):
            serialize_envelope({"data": {}})
        log = stored({"data": {}}, output="envelope")["log"]
        assert (log["level"], log["message"], log["timestamp"]) == ("INFO", "", RECEIVED)

    def test_containers_as_texts(self) -> None:
        line = event() | {"message": {"a": [True]}, "level": ["x"]}
        assert json.loads(serialize_envelope(line).data)["log"]["message"] == "{'a': [True]}"
        log = stored(line, output="envelope")["log"]
        assert (log["level"], log["message"]) == ('["x"]', '{"a":[true]}')

    def test_further_keys(self) -> None:
        """An envelope has no room for them in either; the bare form keeps them."""
        line = event(integrity={"mac": "x"})
        assert "integrity" not in json.loads(serialize_envelope(line).data)["log"]
        assert "integrity" not in stored(line, output="envelope")["log"]
        assert stored(line, output="bare") == line

    def test_events_that_are_too_large(self) -> None:
        line = event("m" * 500, data={"a": "x" * 500, "b": 1})
        settings = {"max_bytes": 400}
        guard = SizeGuardProcessor(config=settings)
        (written,) = Worker(processors=[guard], serialize=True).flush(line)
        assert set(written) == {"_truncated", "_original_size", "_heavily_truncated"}
        log = stored(
            line,
            processors=["size_guard"],
            output="envelope",
            config={"size_guard": settings},
        )["log"]
        assert log["_truncated"] is True
        assert (log["level"], log["data"]) == ("INFO", {"b": 1})
        assert log["message"].startswith("mmm")
