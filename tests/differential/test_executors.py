"""`executor = "python"` means what `executor = "auto"` means, whatever the events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.config.pipeline import Pipeline
from tests.differential.configurations import pipelines
from tests.differential.events import batches, whole_batches
from tests.differential.executors import assert_same_in_both
from tests.differential.profile import examples

# The host raises it for good.
pytestmark = pytest.mark.filterwarnings("ignore:The recursion limit will not be reset")


@given(pipelines(), batches)
@examples(150)
def test_both_executors_come_to_the_same_verdicts_and_events(
    pipeline: Pipeline, lines: list[bytes]
) -> None:
    assert_same_in_both(pipeline, lines)


@given(pipelines(output="envelope"), whole_batches | batches, st.booleans())
@examples(80)
def test_both_executors_write_the_same_envelopes(
    pipeline: Pipeline, lines: list[bytes], has_processor: bool
) -> None:
    """Also where a processor makes Python write them."""
    processors = ("zero_copy",) if has_processor else ()
    assert_same_in_both(pipeline.model_copy(update={"processors": processors}), lines)
