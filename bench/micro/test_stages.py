"""Decode and each native kernel: `Segment.run` on a batch, with no stage and with one.

A result crosses to Python for every event here, which it never does in a worker. That part is the
same in all of them: what a kernel costs is the distance to `decode`.
"""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro import events
from ingest import config
from ingest._native import DeadLetters, Segment
from ingest.config.pipeline import Pipeline
from ingest.pipeline import segments

_DEPTH, _KEYS = 64, 1024
_RECEIVED_NS = 1_700_000_000_000_000_000
_NOTHING: dict[str, Any] = {"filters": [], "enrichers": [], "redactors": []}

STAGES: dict[str, dict[str, Any]] = {
    "decode": {},
    "level": {"filters": ["level"], "config": {"level": {"min_level": "INFO"}}},
    "sampling": {"filters": ["sampling"], "config": {"sampling": {"sample_rate": 0.5}}},
    "rate_limit": {"filters": ["rate_limit"]},
    "adaptive_sampling": {"filters": ["adaptive_sampling"]},
    "trace_sampling": {"filters": ["trace_sampling"]},
    "first_occurrence": {"filters": ["first_occurrence"]},
    "origin": {"enrichers": ["origin"]},
    "kubernetes": {"enrichers": ["kubernetes"]},
    "field_mask": {
        "redactors": ["field_mask"],
        "config": {"field_mask": {"fields_to_mask": ["data.password", "context.token"]}},
    },
    "regex_mask": {
        "redactors": ["regex_mask"],
        "config": {"regex_mask": {"patterns": ["(?i).*secret.*", "(?i).*api.?key.*"]}},
    },
    "credentials": {
        "redactors": ["field_mask", "regex_mask"],
        "redaction_presets": ["CREDENTIALS"],
    },
    "url_credentials": {"redactors": ["url_credentials"]},
    "field_blocker": {"redactors": ["field_blocker"]},
    "string_truncate": {"redactors": ["string_truncate"]},
    "size_guard": {"processors": ["size_guard"]},
    "envelope": {"output": "envelope"},
    "reference": {
        "filters": ["level"],
        "enrichers": ["origin"],
        "redactors": ["field_mask", "regex_mask", "url_credentials"],
        "config": {
            "field_mask": {"fields_to_mask": ["data.password", "context.token"]},
            "regex_mask": {"patterns": ["(?i).*secret.*", "(?i).*api.?key.*"]},
        },
    },
}


@pytest.mark.parametrize("stage", STAGES)
def test_stage(stage: str, benchmark: BenchmarkFixture) -> None:
    """A batch of JSON through a segment with this stage alone."""
    spec = config.load(None, {"pipeline": {**_NOTHING, **STAGES[stage]}}).pipeline.spec()
    (segment,) = segments.segments(spec)
    compiled = Segment(
        segments.native_json(segment),
        depth=_DEPTH,
        keys=_KEYS,
        full_match=segments.full_match(spec),
    )
    lines = events.lines()
    results = benchmark(lambda: compiled.run(lines, received_ns=_RECEIVED_NS))
    assert {outcome for outcome, _ in results} <= {"kept", "filtered"}
    assert len(results) == events.COUNT


def test_dead_letter(benchmark: BenchmarkFixture) -> None:
    """The letter of one line that is no JSON, through the redactors."""
    spec = Pipeline().spec()
    letters = DeadLetters(
        segments.redactors_json(spec),
        has_foreign_redactors=False,
        listener="tcp",
        received_ns=_RECEIVED_NS,
    )
    line = events.lines()[0][:-1]
    assert benchmark(lambda: letters.letter(line, "invalid_json")).startswith(b"{")
