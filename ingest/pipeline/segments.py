"""Part a pipeline into runs of native and of Python stages, and say what Rust is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from ingest.contract import KernelSpec, OutputForm, PipelineSpec, StageSpec


class Segment(NamedTuple):
    """Consecutive stages of one kind of execution."""

    native: bool
    stages: tuple[tuple[int, StageSpec], ...]
    """Each with its index."""
    output: OutputForm
    """The form of what comes out."""
    is_formed: bool
    """Whether what comes in has the form that is stored: processors before it made it."""
    is_later: bool
    """Whether others come before it: what comes in is an event already, and stays what it is."""


def segments(spec: PipelineSpec) -> tuple[Segment, ...]:
    """Return native and Python segments in turn; the first and the last are native, even if empty.

    The first takes what decode gives, and the last gives what the journal takes. Processors work on
    what is stored, so the native segment before those in Python brings events into its form.
    """
    runs: list[_Run] = [_Run(native=True, processes=False, stages=())]
    for run in _runs(spec):
        if run.native and not runs[-1].stages:
            runs.pop()
        elif not run.native and not runs[-1].native:
            runs.append(_Run(native=True, processes=False, stages=()))
        runs.append(run)
    if not runs[-1].native:
        runs.append(_Run(native=True, processes=False, stages=()))
    forming = next((at for at, run in enumerate(runs) if run.processes), len(runs) - 1)
    forming -= not runs[forming].native
    return tuple(
        Segment(
            run.native,
            run.stages,
            output=spec.output if at >= forming else "bare",
            is_formed=at > forming,
            is_later=at > 0,
        )
        for at, run in enumerate(runs)
    )


def native_json(segment: Segment) -> str:
    """Return what Rust is told about a native segment (`Segment` in native/src/pipeline)."""
    stages = [
        {"index": index, "kernel": stage.kernel, "config": stage.config}
        for index, stage in segment.stages
    ]
    told = {
        "stages": stages,
        "output": segment.output,
        "is_formed": segment.is_formed,
        "is_later": segment.is_later,
    }
    return msgspec.json.encode(told).decode()


def built_in_redactors(spec: PipelineSpec) -> tuple[KernelSpec, ...]:
    """Return the kernels of all redactors that have one, wherever the redactor runs."""
    native = (
        KernelSpec(index=stage.index, kernel=stage.kernel, config=stage.config)
        for stage in spec.stages
        if stage.kind == "redactor" and stage.kernel is not None
    )
    return (*native, *spec.redactor_kernels)


def redactors_json(spec: PipelineSpec) -> str:
    """Return what Rust is told about the redactors of dead letters."""
    return msgspec.json.encode({"stages": built_in_redactors(spec)}).decode()


def full_match(spec: PipelineSpec) -> Callable[[int, str], bool] | None:
    """Return what decides, with Python's engine, patterns of `regex_mask`; None without any."""
    patterns = {
        redactor.index: [re.compile(pattern) for pattern in redactor.config["patterns"]]
        for redactor in built_in_redactors(spec)
        if redactor.kernel == "regex_mask"
    }
    if not any(patterns.values()):
        return None

    def matches(stage: int, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in patterns[stage])

    return matches


class _Run(NamedTuple):
    native: bool
    processes: bool
    stages: tuple[tuple[int, StageSpec], ...]


def _runs(spec: PipelineSpec) -> Iterator[_Run]:
    """Yield consecutive stages of one execution; processors in Python stand for themselves."""

    def execution(at: tuple[int, StageSpec]) -> tuple[bool, bool]:
        native = at[1].kernel is not None
        return native, not native and at[1].kind == "processor"

    indexed = ((stage.index, stage) for stage in spec.stages)
    for (native, _), run in groupby(indexed, key=execution):
        stages = tuple(run)
        processes = any(stage.kind == "processor" for _, stage in stages)
        yield _Run(native, processes, stages)
