"""Write out what fapilog's presets stand for."""

from __future__ import annotations

from typing import Any

from ingest.config import inspector, stages
from ingest.config.pipeline import Pipeline
from ingest.config.suggestions import choice
from ingest.config.tables import ConflictError
from ingest.pipeline.catalogue import canonical
from ingest.pipeline.inspection import ExpandPreset, ExpandRedaction, Preset, Redaction, Refusal

_LEAST_LEVEL = "DEBUG"


def expand(written: Pipeline) -> tuple[Pipeline, tuple[str, ...]]:
    """Return the pipeline without its presets, and notes on what was expanded.

    Keys that were given win over the preset. The masks that redaction presets fill are put in
    front of the redactors if they are not among them, unless the redactors were given and the
    redaction presets come from the preset: who lists redactors wants no others.
    """
    notes = []
    expanded = written
    if written.preset is not None:
        preset = _ask_preset(written.preset)
        expanded = _apply(written, preset)
        notes.append(f'preset "{written.preset}" is written out here')
    given = written.model_fields_set
    names = expanded.redaction_presets
    if names:
        only_listed = "redactors" in given and "redaction_presets" not in given
        expanded = _mask(expanded, _ask_redaction(names), only_listed=only_listed)
        notes.append(f"redaction presets {', '.join(names)} are written out here")
    return expanded.model_copy(update={"preset": None, "redaction_presets": ()}), tuple(notes)


def _apply(written: Pipeline, preset: Preset) -> Pipeline:
    given = written.model_fields_set
    update: dict[str, Any] = {}
    for key in ("redactors", "redaction_presets"):
        if key not in given:
            update[key] = getattr(preset, key)
    if "filters" not in given:
        update["filters"] = preset.filters or _level_filter(preset)
        if "level" in map(canonical, update["filters"]):
            table = written.config.level or stages.Level()
            if "min_level" not in table.model_fields_set:
                table = table.model_copy(update={"min_level": preset.log_level})
            update["config"] = written.config.model_copy(update={"level": table})
    return written.model_copy(update=update)


def _level_filter(preset: Preset) -> tuple[str, ...]:
    """Fapilog puts its level filter in by itself where there is something to filter."""
    return () if preset.log_level == _LEAST_LEVEL else ("level",)


def _mask(pipeline: Pipeline, found: Redaction, *, only_listed: bool) -> Pipeline:
    """Add fields and patterns behind those that were given, each once."""
    redactors = tuple(map(canonical, pipeline.redactors))
    tables: dict[str, stages.Stage] = {}
    for name, key, added in (
        ("field_mask", "fields_to_mask", found.fields),
        ("regex_mask", "patterns", found.patterns),
    ):
        if not added or (only_listed and name not in redactors):
            continue
        table = pipeline.config.builtin(name)
        values = getattr(table, key)
        merged = (*values, *(value for value in added if value not in values))
        tables[name] = table.model_copy(update={key: merged})
    missing = tuple(name for name in tables if name not in redactors)
    return pipeline.model_copy(
        update={
            "redactors": (*missing, *pipeline.redactors),
            "config": pipeline.config.model_copy(update=tables),
        }
    )


def _ask_preset(name: str) -> Preset:
    (answer,) = inspector.ask([ExpandPreset(name)])
    if isinstance(answer, Preset):
        return answer
    raise _refused(("pipeline", "preset"), name, "preset", answer)


def _ask_redaction(names: tuple[str, ...]) -> Redaction:
    """Return all of them as one; fields stand in `data`, as fapilog's own settings put them."""
    fields: set[str] = set()
    patterns: set[str] = set()
    answers = inspector.ask([ExpandRedaction(name) for name in names])
    for at, (name, answer) in enumerate(zip(names, answers, strict=True)):
        if not isinstance(answer, Redaction):
            raise _refused(("pipeline", "redaction_presets", at), name, "redaction preset", answer)
        fields.update(f"data.{field}" for field in answer.fields)
        patterns.update(answer.patterns)
    return Redaction(tuple(sorted(fields)), tuple(sorted(patterns)))


def _refused(path: tuple[str | int, ...], name: str, what: str, answer: object) -> ConflictError:
    if isinstance(answer, Refusal) and answer.known:
        return ConflictError(path, f'"{name}" is no {what}; {choice(name, answer.known)}')
    reason = answer.reason if isinstance(answer, Refusal) else "no answer"
    return ConflictError(path, f'"{name}" cannot be looked up in fapilog: {reason}')
