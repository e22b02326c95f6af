"""Part a pipeline into runs of native and of Python stages, and say what Rust is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
    """The form of what comes out."""
    is_formed: bool
    """Whether what comes in has the form that is stored: processors before it made it."""


def segments(spec: PipelineSpec) -> tuple[Segment, ...]:
    """Return native and Python segments in turn; the first and the last are native, even if empty.

    The first takes what decode gives, and the last gives what the journal takes.
    """
    runs = list(_runs(spec))
    if not runs or not runs[0][0]:
        runs.insert(0, (True, ()))
    if not runs[-1][0]:
        runs.append((True, ()))
    forms = [any(stage.kind == "processor" for _, stage in stages) for _, stages in runs]
    last = len(runs) - 1
    return tuple(
        Segment(
            native,
            stages,
            # Processors work on what is stored, so their segment brings events into its form.
            spec.output if forms[at] or at == last else "bare",
            is_formed=any(forms[:at]),
        )
        for at, (native, stages) in enumerate(runs)
    )


def native_json(segment: Segment) -> str:
    """Return what Rust is told about a native segment (`Segment` in native/src/pipeline)."""
    stages = [
        {"index": index, "kernel": stage.kernel, "config": stage.config}
        for index, stage in segment.stages
    ]
    told = {"stages": stages, "output": segment.output, "is_formed": segment.is_formed}
    return msgspec.json.encode(told).decode()


def redactors_json(spec: PipelineSpec) -> str:
    """Return what Rust is told about the redactors of dead letters."""
    return msgspec.json.encode({"stages": spec.redactors}).decode()


def full_match(spec: PipelineSpec) -> Callable[[int, str], bool] | None:
    """Return what decides, with Python's engine, patterns of `regex_mask`; None without any."""
    patterns = {
        redactor.index: [re.compile(pattern) for pattern in redactor.config["patterns"]]
        for redactor in spec.redactors
        if redactor.kernel == "regex_mask"
    }
    if not any(patterns.values()):
        return None

    def matches(stage: int, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in patterns[stage])

    return matches


def _runs(spec: PipelineSpec) -> Iterator[tuple[bool, tuple[tuple[int, StageSpec], ...]]]:
    for native, run in groupby(enumerate(spec.stages), key=lambda at: at[1].kernel is not None):
        yield native, tuple(run)
