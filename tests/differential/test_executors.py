"""`executor = "python"` means what `executor = "auto"` means, whatever the events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.config import stages
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


PROCESSORS = st.lists(st.sampled_from(("zero_copy", "size_guard")), unique=True)
SIZE_GUARDS = st.fixed_dictionaries(
    {"max_bytes": st.integers(100, 300), "action": st.sampled_from(("truncate", "drop", "warn"))}
)


@given(pipelines(output="envelope") | pipelines(), whole_batches | batches, PROCESSORS, SIZE_GUARDS)
@examples(80)
def test_both_executors_store_the_same(
    pipeline: Pipeline, lines: list[bytes], processors: list[str], guard: dict[str, object]
) -> None:
    """Whoever works on what is stored; how large a bare event is depends on its spelling."""
    if pipeline.output == "bare":
        processors = [name for name in processors if name != "size_guard"]
    config = pipeline.config.model_copy(update={"size_guard": stages.SizeGuard(**guard)})
    changes = {"processors": tuple(processors), "config": config}
    assert_same_in_both(pipeline.model_copy(update=changes), lines)


class Flattener:
    """An enricher that puts a text in place of a group."""

    name = "flattener"

    async def enrich(self, event: dict[str, object]) -> dict[str, object]:
        return {"diagnostics": "flat", "data": [1]}


@pytest.mark.parametrize("fields", [[], ["diagnostics"], ["diagnostics.ingest.shard", "data"]])
@pytest.mark.parametrize("line", [b"{}", b'{"diagnostics":{"a":1}}', b'{"data":1}'])
def test_a_group_that_a_plugin_made_no_object_is_the_same_in_both(
    fields: list[str], line: bytes
) -> None:
    """As in a merge, what is added to it takes its place; and nothing else is wrapped again."""
    pipeline = Pipeline.model_validate(
        {
            "enrichers": [f"{__name__}:Flattener", "origin"],
            "redactors": ["field_mask"],
            "config": {"field_mask": {"fields_to_mask": fields}},
        }
    )
    assert_same_in_both(pipeline, [line])
