"""How the pipelines of the benchmark differ."""

from __future__ import annotations

import tomllib
from typing import Any

from bench import settings
from bench.region import Region
from ingest.config import load

REGION = "bench.region:Region"


def written(name: str) -> dict[str, Any]:
    """Return the table of a case as it stands in its file."""
    table: dict[str, Any] = tomllib.loads(settings.configuration(name).read_text())["pipeline"]
    return table


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


async def test_the_plugin_is_one_that_fapilog_runs() -> None:
    plugin = Region({"203.0.113": "eu"})
    assert await plugin.enrich({"data": {"ip": "203.0.113.9"}}) == {"diagnostics": {"region": "eu"}}
    assert await plugin.enrich({}) == {"diagnostics": {"region": "unknown"}}
