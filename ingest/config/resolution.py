"""Make of the `[pipeline]` that was written the one that is meant, and refuse what cannot run.

Presets are expanded, names brought into their one form, and every plugin is really made once, in a
process of its own. Without presets and plugins nothing is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ingest.config import inspector
from ingest.config.assembly import Place, places
from ingest.config.expansion import expand
from ingest.config.pipeline import LIST_OF_KIND, Pipeline, builtin_model
from ingest.config.suggestions import choice, nearest
from ingest.config.tables import ConflictError
from ingest.contract import StageKind
from ingest.pipeline.catalogue import BUILTINS, ORIGIN_PLUGIN, canonical
from ingest.pipeline.inspection import Construct, Plugin, Refusal
from ingest.pipeline.patterns import needs_python

KeyPath = tuple[str | int, ...]


class Resolved(NamedTuple):
    """A pipeline that can run."""

    pipeline: Pipeline
    """Everything in it is explicit; its presets are expanded."""
    notes: tuple[str, ...]
    """What people should know about it, a line each."""


def resolve(written: Pipeline) -> Resolved:
    """Return the pipeline that is meant; raise ConflictError at what is wrong with it."""
    _check_lists(written)
    expanded, notes = expand(written)
    stages = places(expanded)
    _check_tables(expanded, stages)
    plugins = _check_plugins(written, expanded, stages)
    pipeline = _spell_out(expanded, stages)
    return Resolved(
        pipeline,
        (
            *notes,
            *(_describe(at, plugins.get(at.name)) for at in stages if at.python),
            *_warnings(pipeline, stages),
        ),
    )


def _check_lists(pipeline: Pipeline) -> None:
    """Refuse a stage that is named twice, and a built-in one among another kind."""
    seen: dict[str, str] = {}
    for kind, names in pipeline.listed().items():
        key = LIST_OF_KIND[kind]
        for at, written in enumerate(names):
            name = canonical(written)
            builtin = BUILTINS.get(name)
            if builtin and builtin.kind != kind:
                raise _misplaced(("pipeline", key, at), written, builtin.kind)
            if name in seen:
                raise ConflictError(
                    ("pipeline", key, at),
                    f'"{written}" stands in pipeline.{seen[name]} already; name a stage once',
                )
            seen[name] = key


def _check_tables(pipeline: Pipeline, stages: tuple[Place, ...]) -> None:
    """Refuse tables that belong to no stage, and policies of what cannot fail."""
    names = [stage.name for stage in stages]
    for table, given in (("config", pipeline.config.given()), ("policy", pipeline.policy)):
        for name in given:
            if name not in names:
                raise ConflictError(("pipeline", table, name), _without_stage(name, names))
    for stage in stages:
        if stage.name in pipeline.policy and stage.python is None:
            raise ConflictError(
                ("pipeline", "policy", stage.name),
                "is the policy of a native kernel, which cannot fail; leave it out",
            )


def _without_stage(name: str, names: list[str]) -> str:
    if name in BUILTINS:
        key = LIST_OF_KIND[BUILTINS[name].kind]
        return f'has no stage; name "{name}" in pipeline.{key}, or leave the table out'
    if meant := nearest(name, [*names, *BUILTINS]):
        return f'has no stage; did you mean "{meant}"?'
    return f"has no stage; the stages are {', '.join(names) or 'none'}"


def _check_plugins(
    written: Pipeline, pipeline: Pipeline, stages: tuple[Place, ...]
) -> dict[str, Plugin]:
    """Make every Python stage once; return what each says of itself."""
    spec = pipeline.spec()
    asked = [at for at in spec.stages if at.kernel is None and at.plugin != ORIGIN_PLUGIN]
    answers = inspector.ask([Construct(at.kind, at.plugin, at.config) for at in asked])
    described = {}
    for stage, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Refusal):
            place = next(at for at in stages if at.name == stage.name)
            raise _refused(_where(written, place), place, answer)
        if isinstance(answer, Plugin):
            described[stage.name] = answer
    return described


def _refused(path: KeyPath, stage: Place, refusal: Refusal) -> ConflictError:
    if refusal.belongs:
        return _misplaced(path, stage.name, refusal.belongs)
    if refusal.known:
        builtins = (name for name, at in BUILTINS.items() if at.kind == stage.kind)
        known = sorted({*refusal.known, *builtins})
        return ConflictError(
            path, f'"{stage.name}" is no {stage.kind}; {choice(stage.name, known)}'
        )
    if refusal.at:
        return ConflictError(
            ("pipeline", "config", stage.name, *refusal.at),
            f"is refused by the plugin: {refusal.reason}",
        )
    return ConflictError(path, f'"{stage.name}" cannot be used: {refusal.reason}; {refusal.remedy}')


def _misplaced(path: KeyPath, name: str, kind: StageKind) -> ConflictError:
    article = "an" if kind == "enricher" else "a"
    return ConflictError(
        path, f'"{name}" is {article} {kind}; name it in pipeline.{LIST_OF_KIND[kind]}'
    )


def _where(written: Pipeline, stage: Place) -> KeyPath:
    """Return where a stage was named."""
    names = [canonical(name) for name in written.listed()[stage.kind]]
    if stage.name in names:
        return ("pipeline", LIST_OF_KIND[stage.kind], names.index(stage.name))
    return ("pipeline", "preset")


def _spell_out(pipeline: Pipeline, stages: tuple[Place, ...]) -> Pipeline:
    """Return the pipeline with every default written down."""
    builtins = {
        at.name: pipeline.config.builtin(at.name)
        for at in stages
        if at.name in BUILTINS and builtin_model(at.name).model_fields
    }
    plugins = {at.name: pipeline.config.plugin(at.name) for at in stages if at.name not in BUILTINS}
    policies = {
        at.name: policy.model_copy(update={"fail": policy.fail or at.default_fail})
        for at in stages
        if at.python
        for policy in (pipeline.policy_of(at.name),)
    }
    config = type(pipeline.config)(**builtins, **{name: at for name, at in plugins.items() if at})
    lists = {
        LIST_OF_KIND[kind]: tuple(map(canonical, names))
        for kind, names in pipeline.listed().items()
    }
    return pipeline.model_copy(update={**lists, "config": config, "policy": policies})


def _describe(stage: Place, plugin: Plugin | None) -> str:
    version = f" {plugin.version}" if plugin and plugin.version else ""
    ill = (
        "; its health_check says that it is not well" if plugin and plugin.healthy is False else ""
    )
    return f"{stage.kind} {stage.name}{version} runs in Python: {stage.python}{ill}"


def _warnings(pipeline: Pipeline, stages: tuple[Place, ...]) -> Iterator[str]:
    for stage in stages:
        if stage.name in ("runtime_info", "context_vars"):
            yield f"{stage.kind} {stage.name} describes this server, not the sender"
        if stage.name not in BUILTINS:
            continue
        table = pipeline.config.builtin(stage.name)
        defaults = type(table)()
        for key in sorted(table.without_effect & set(type(table).model_fields)):
            if getattr(table, key) != getattr(defaults, key):
                yield f"pipeline.config.{stage.name}.{key} has no effect: events are covered whole"
    mask = pipeline.config.regex_mask
    if mask is not None and not any(at.name == "regex_mask" and at.python for at in stages):
        for at, pattern in enumerate(mask.patterns):
            if reason := needs_python(pattern):
                yield (
                    f"pipeline.config.regex_mask.patterns[{at}] is decided by Python's engine,"
                    f" once for each path: {reason}"
                )
