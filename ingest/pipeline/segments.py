"""Part a pipeline into runs of native and of Python stages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from ingest.contract import OutputForm, PipelineSpec, StageSpec


class Segment(NamedTuple):
    """Consecutive stages of one kind of execution."""

    native: bool
    stages: tuple[tuple[int, StageSpec], ...]
    """Each with its position in the whole pipeline."""
    output: OutputForm
    """The form of what comes out; only the last one gives the form that is stored."""


def segments(spec: PipelineSpec) -> tuple[Segment, ...]:
    """Return native and Python segments in turn; the first and the last are native, even if empty.

    The first takes what decode gives, and the last gives what the journal takes.
    """
    runs = list(_runs(spec))
    if not runs or not runs[0][0]:
        runs.insert(0, (True, ()))
    if not runs[-1][0]:
        runs.append((True, ()))
    last = len(runs) - 1
    return tuple(
        Segment(native, stages, spec.output if at == last else "bare")
        for at, (native, stages) in enumerate(runs)
    )


def native_json(segment: Segment) -> str:
    """Return what Rust is told about a native segment (`Segment` in native/src/pipeline)."""
    stages = [
        {"index": index, "kernel": stage.kernel, "config": stage.config}
        for index, stage in segment.stages
    ]
    return msgspec.json.encode({"stages": stages, "output": segment.output}).decode()


def _runs(spec: PipelineSpec) -> Iterator[tuple[bool, tuple[tuple[int, StageSpec], ...]]]:
    for native, run in groupby(enumerate(spec.stages), key=lambda at: at[1].kernel is not None):
        yield native, tuple(run)
