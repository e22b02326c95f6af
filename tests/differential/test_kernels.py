"""Every native kernel, alone and with others, makes of events what fapilog's classes make."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.config.pipeline import Pipeline
from tests.differential import configurations
from tests.differential.comparing import assert_same_as_fapilog
from tests.differential.configurations import (
    BY_NAME,
    ENRICHERS,
    FILTERS,
    POD,
    REDACTORS,
    Settings,
    pipelines,
)
from tests.differential.events import batches, whole_batches
from tests.differential.profile import examples

_KEY_OF = {
    **dict.fromkeys(FILTERS, "filters"),
    **dict.fromkeys(ENRICHERS, "enrichers"),
    **dict.fromkeys(REDACTORS, "redactors"),
}


@pytest.fixture(autouse=True, scope="module")
def _pod() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in POD.items():
            patch.setenv(name, value)
        yield


def alone(name: str, settings: Settings) -> Pipeline:
    """Return a pipeline of nothing but one stage."""
    kinds = {"filters": [], "enrichers": [], "redactors": [], _KEY_OF[name]: [name]}
    return Pipeline.model_validate({**kinds, "config": {name: settings}})


@pytest.mark.parametrize("name", sorted(BY_NAME))
@given(data=st.data(), lines=batches)
@examples(30)
def test_each_stage_alone_does_what_fapilogs_does(
    name: str, data: st.DataObject, lines: list[bytes]
) -> None:
    """The same values in the same order, and the sender's bytes wherever nothing changed."""
    pipeline = alone(name, data.draw(BY_NAME[name]))
    assert_same_as_fapilog(pipeline, lines)


@given(rate=st.floats(0.0, 1.0), lines=whole_batches)
@examples(30)
def test_traces_that_are_kept_are_those_that_fapilog_keeps(rate: float, lines: list[bytes]) -> None:
    """Whatever JSON calls a trace; containers are meant to differ, and without one chance rules."""
    settings = {"sample_rate": rate, "trace_id_field": "message"}
    lines = [line for line in lines if isinstance(orjson.loads(line)["message"], (str, int, float))]
    assert_same_as_fapilog(alone("trace_sampling", settings), lines)


@given(pipelines(), batches)
@examples(200)
def test_whole_pipelines_do_what_fapilogs_do(pipeline: Pipeline, lines: list[bytes]) -> None:
    """Whatever the order of the redactors."""
    assert_same_as_fapilog(pipeline, lines)


@given(pipelines(output="envelope"), whole_batches | batches)
@examples(200)
def test_envelopes_are_fapilogs_byte_for_byte(pipeline: Pipeline, lines: list[bytes]) -> None:
    """Of events that fapilog accepts, whatever the stages did to them."""
    assert_same_as_fapilog(pipeline, lines)


@pytest.mark.parametrize("name", sorted(configurations.PRESETS))
@given(lines=batches)
@examples(5)
def test_redaction_presets_mask_what_fapilog_masks(name: str, lines: list[bytes]) -> None:
    fields, patterns = configurations.PRESETS[name]
    config = {
        "field_mask": {"fields_to_mask": sorted(f"data.{field}" for field in fields)},
        "regex_mask": {"patterns": sorted(patterns)},
    }
    redactors = ["field_mask", "regex_mask", "url_credentials"]
    pipeline = Pipeline.model_validate({"redactors": redactors, "config": config})
    assert_same_as_fapilog(pipeline, lines)
