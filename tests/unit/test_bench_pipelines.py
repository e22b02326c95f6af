"""How the pipelines of the benchmark differ, and how fapilog is set beside them."""

from __future__ import annotations

import os
import tomllib
from typing import Any

import msgspec
import pytest

from bench import settings
from bench.peers import fapilog, fapilog_process
from bench.peers.fapilog import Flushed
from bench.region import Region
from bench.server import FailedRunError
from ingest.config import load

REGION = "bench.region:Region"


def written(name: str) -> dict[str, Any]:
    """Return the table of a case as it stands in its file."""
    table: dict[str, Any] = tomllib.loads(settings.configuration(name).read_text())["pipeline"]
    return table


def test_fapilog_has_to_drop_debug_and_to_mask() -> None:
    done = Flushed(events=10, written=8, last='{"password":"***"}', seconds=1.0, cpu_seconds=1.0)
    fapilog.check(done)
    for wrong in ({"written": 10}, {"written": 7}, {"last": '{"password":"horse"}'}):
        with pytest.raises(FailedRunError, match="fapilog"):
            fapilog.check(msgspec.structs.replace(done, **wrong))


def test_the_cases_differ_from_the_reference_only_in_what_they_are_named_for() -> None:
    reference = written("reference")
    assert written("envelope") == {**reference, "output": "envelope"}
    assert written("python") == {**reference, "executor": "python"}
    plugin = written("plugin")
    assert plugin["config"].pop(REGION)
    assert plugin == {**reference, "enrichers": ["origin", REGION]}
    credentials = written("credentials")
    assert credentials.pop("redaction_presets") == ["CREDENTIALS"]
    config = {"level": reference["config"]["level"]}
    assert credentials == {**reference, "config": config}
    assert not any(written("none").values())


def test_the_case_with_credentials_has_all_of_the_preset() -> None:
    spec = load(settings.configuration("credentials"), {}).pipeline.spec()
    field_mask, regex_mask = (stage.config for stage in spec.stages if "mask" in stage.name)
    assert len(field_mask["fields_to_mask"]) == 33
    assert len(regex_mask["patterns"]) == 8


async def test_fapilog_beside_us_does_the_work_of_the_reference() -> None:
    """Level, masks and URLs, set as the configuration says; a fifth of the events is DEBUG."""
    lines = [
        msgspec.json.encode(
            {
                "timestamp": "2026-01-01T00:00:00.000Z",
                "level": level,
                "message": "m",
                "data": {"password": "horse", "api_key": "k", "url": "https://u:p@host/"},
            }
        )
        for level in ("DEBUG", "INFO", "INFO", "WARNING", "ERROR")
    ]
    plugins = fapilog_process.stages(settings.configuration(fapilog.PIPELINE), ["runtime_info"])
    flushed = await fapilog_process.measure(lines, 20, plugins)
    fapilog.check(flushed)
    event = msgspec.json.decode(flushed.last)["log"]
    assert event["data"] == {"password": "***", "api_key": "***", "url": "https://host/"}
    assert event["diagnostics"]["pid"] == os.getpid()


async def test_the_plugin_is_one_that_fapilog_runs() -> None:
    plugin = Region({"203.0.113": "eu"})
    assert await plugin.enrich({"data": {"ip": "203.0.113.9"}}) == {"diagnostics": {"region": "eu"}}
    assert await plugin.enrich({}) == {"diagnostics": {"region": "unknown"}}
