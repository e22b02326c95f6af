"""Make of the table `[pipeline]` what a worker is told, and say which stage runs where."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.contract import FailurePolicy, KernelSpec, PipelineSpec, StageKind, StageSpec
from ingest.pipeline.catalogue import BUILTINS, ORIGIN, ORIGIN_PLUGIN, SIZE_GUARD, canonical

if TYPE_CHECKING:
    from ingest.config.pipeline import Pipeline

_SHARED_VIEW = "another enricher does, and all of them see the event as it was before"


class Place(NamedTuple):
    """Where a stage runs."""

    name: str
    kind: StageKind
    python: str | None
    """Why it runs in Python; None where a native kernel does it."""

    @property
    def plugin(self) -> str:
        """What fapilog's loader knows it by, or `module:Class`."""
        return ORIGIN_PLUGIN if self.name == ORIGIN else self.name

    @property
    def default_fail(self) -> FailurePolicy:
        """What becomes of an event at which it fails, unless its policy says otherwise."""
        return "closed" if self.kind == "redactor" else "open"


def places(pipeline: Pipeline) -> tuple[Place, ...]:
    """Return the stages in the order in which they run.

    One enricher in Python takes the other ones along, for fapilog shows the same event to all of
    them. `origin` alone stays native, right behind them: what it adds is nobody's input.
    """
    found = [
        Place(name, kind, _why_python(name, pipeline.executor))
        for kind, names in pipeline.listed().items()
        for name in map(canonical, names)
    ]
    if pipeline.executor == "auto" and any(at.kind == "enricher" and at.python for at in found):
        found = [
            at._replace(python=_SHARED_VIEW)
            if at.kind == "enricher" and at.name != ORIGIN and at.python is None
            else at
            for at in found
        ]
        # A stable sort moves nothing but `origin`, to the end of its kind.
        order = list(pipeline.listed())
        found.sort(key=lambda at: (order.index(at.kind), at.name == ORIGIN))
    return tuple(found)


def assemble(pipeline: Pipeline) -> PipelineSpec:
    """Return what a worker is told; the presets of the table have to be expanded already."""
    if pipeline.preset is not None or pipeline.redaction_presets:
        raise ValueError("the presets of the pipeline are not expanded")
    stages = places(pipeline)
    redactors = [(at, stage) for at, stage in enumerate(stages) if stage.kind == "redactor"]
    return PipelineSpec(
        stages=tuple(_stage(pipeline, at, stage) for at, stage in enumerate(stages)),
        output=pipeline.output,
        redactor_kernels=tuple(
            KernelSpec(index=at, kernel=kernel, config=pipeline.config.builtin(stage.name).kernel())
            for at, stage in redactors
            if stage.python and stage.name in BUILTINS and (kernel := BUILTINS[stage.name].kernel)
        ),
        has_foreign_redactors=any(stage.name not in BUILTINS for _, stage in redactors),
    )


def _stage(pipeline: Pipeline, index: int, place: Place) -> StageSpec:
    policy = pipeline.policy_of(place.name)
    builtin = BUILTINS.get(place.name)
    if builtin is None:
        config = pipeline.config.plugin(place.name)
    elif place.python is None:
        config = pipeline.config.builtin(place.name).kernel()
    else:
        config = pipeline.config.builtin(place.name).plugin()
    return StageSpec(
        index=index,
        name=place.name,
        kind=place.kind,
        kernel=builtin.kernel if builtin and place.python is None else None,
        plugin=place.plugin,
        config=config,
        fail=policy.fail or place.default_fail,
        budget_seconds=policy.budget,
        breaker_failures=policy.breaker_failures,
        breaker_seconds=policy.breaker_pause,
    )


def _why_python(name: str, executor: str) -> str | None:
    if name not in BUILTINS:
        return "it is a plugin"
    # fapilog's class leaves nothing of an envelope, so that it is no reference for ours.
    if executor == "python" and name != SIZE_GUARD:
        return 'executor = "python"'
    if BUILTINS[name].kernel is None:
        return "fapilog's own class does it"
    return None
