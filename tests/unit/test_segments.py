"""How a pipeline is parted into native and Python runs."""

from __future__ import annotations

import json

import pytest

from ingest.contract import PipelineSpec, StageSpec
from ingest.pipeline.segments import native_json, segments


def spec(*, python: str, output: str = "bare") -> PipelineSpec:
    """Return a pipeline with a stage for each letter: `n` is native, `p` Python, `P` processes."""
    return PipelineSpec(
        stages=tuple(
            StageSpec(
                index=at,
                name=f"{at}",
                kind="processor" if letter == "P" else "redactor",
                kernel="url_credentials" if letter == "n" else None,
                plugin=f"{at}",
                config={},
                fail="closed",
                budget_seconds=0.1,
                breaker_failures=5,
                breaker_seconds=30.0,
            )
            for at, letter in enumerate(python)
        ),
        output=output,  # type: ignore[arg-type]
        redactor_kernels=(),
        has_foreign_redactors=False,
    )


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("", ["n:"]),
        ("nn", ["n:01"]),
        ("p", ["n:", "p:0", "n:"]),
        ("npp", ["n:0", "p:12", "n:"]),
        ("pnnpn", ["n:", "p:0", "n:12", "p:3", "n:4"]),
        ("pPP", ["n:", "p:0", "n:", "p:12", "n:"]),
    ],
)
def test_native_and_python_take_turns_and_native_is_at_both_ends(
    stages: str, expected: list[str]
) -> None:
    """The first takes what decode gives, the last gives what the journal takes."""
    found = segments(spec(python=stages))
    assert [
        f"{'n' if segment.native else 'p'}:{''.join(str(at) for at, _ in segment.stages)}"
        for segment in found
    ] == expected


def test_only_the_last_segment_gives_the_form_that_is_stored() -> None:
    """A plugin sees the event, not its envelope."""
    found = segments(spec(python="npn", output="envelope"))
    assert [segment.output for segment in found] == ["bare", "bare", "envelope"]


def test_processors_in_python_get_the_form_that_is_stored() -> None:
    """The native segment before them makes it, and the ones behind leave it as it is."""
    found = segments(spec(python="npPn", output="envelope"))
    assert [(segment.output, segment.is_formed) for segment in found] == [
        ("bare", False),
        ("bare", False),
        ("envelope", False),
        ("envelope", True),
        ("envelope", True),
    ]


def test_rust_is_told_position_kernel_and_settings() -> None:
    """The keys are those of `Segment` in native/src/pipeline/config.rs."""
    last = segments(spec(python="pn", output="envelope"))[-1]
    assert json.loads(native_json(last)) == {
        "stages": [{"index": 1, "kernel": "url_credentials", "config": {}}],
        "output": "envelope",
        "is_formed": False,
        "is_later": True,
    }
