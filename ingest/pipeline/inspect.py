"""`python -m ingest.pipeline.inspect`: ask fapilog and the plugins, in a process of their own.

Reads tasks from standard input and answers on standard output (see `ingest.pipeline.inspection`).
Whatever plugins print goes to standard error.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import msgspec
from fapilog.core.presets import get_preset, list_presets
from fapilog.core.settings import CoreSettings
from fapilog.plugins import loader
from fapilog.redaction import list_redaction_presets, resolve_preset_fields
from fapilog.testing import validators

from ingest.contract import StageKind
from ingest.pipeline.catalogue import GROUPS, METHODS
from ingest.pipeline.inspection import (
    Answer,
    Construct,
    ExpandPreset,
    ExpandRedaction,
    Listed,
    Plugin,
    Preset,
    Redaction,
    Refusal,
    Task,
)

_HEALTH_SECONDS = 5.0
_LONGEST_REASON = 300
_VALIDATORS: dict[StageKind, Callable[[Any], validators.ValidationResult]] = {
    "filter": validators.validate_filter,
    "enricher": validators.validate_enricher,
    "redactor": validators.validate_redactor,
    "processor": validators.validate_processor,
}
_UNEXPECTED_ARGUMENT = re.compile(r"unexpected keyword argument '(\w+)'")


def main() -> None:
    """Answer every task until the end of the input."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    decoder = msgspec.json.Decoder(Task)
    with answers:
        for line in sys.stdin.buffer:
            answers.write(msgspec.json.encode(answer(decoder.decode(line))) + b"\n")
            answers.flush()
    if threading.active_count() > 1:  # a plugin left a thread, which would keep the process alive
        os._exit(0)


def answer(task: Task) -> Answer:
    """Return the answer to one task."""
    match task:
        case ExpandPreset(name):
            return _expand_preset(name)
        case ExpandRedaction(name):
            return _expand_redaction(name)
        case Construct(kind, plugin, config):
            return _construct(kind, plugin, config)
        case _:
            return _list_plugins()


def _expand_preset(name: str) -> Preset | Refusal:
    if name not in list_presets():
        return Refusal("it is no preset", known=tuple(list_presets()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `adaptive` is `production`
        values = get_preset(name)  # type: ignore[arg-type]
    core = CoreSettings(**values["core"])
    credentials = ["CREDENTIALS"] if values.get("_apply_credentials_preset") else []
    return Preset(
        log_level=core.log_level,
        filters=tuple(core.filters),
        redactors=tuple(core.redactors if core.enable_redactors else ()),
        redaction_presets=(*credentials, *values.get("_apply_redaction_presets", ())),
    )


def _expand_redaction(name: str) -> Redaction | Refusal:
    if name not in list_redaction_presets():
        return Refusal("it is no redaction preset", known=tuple(list_redaction_presets()))
    fields, patterns = resolve_preset_fields(name)
    return Redaction(tuple(sorted(fields)), tuple(sorted(patterns)))


def _construct(kind: StageKind, plugin: str, config: dict[str, Any]) -> Plugin | Refusal:
    try:
        make = _find(kind, plugin)
        made = make(config)
    except loader.PluginNotFoundError:
        return _unknown(kind, plugin)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        return _refuse(error, config)
    if not hasattr(made, METHODS[kind]) and (other := _kind_of(made)):
        return Refusal("it is of another kind", belongs=other)
    result = _VALIDATORS[kind](made)
    if not result.valid:
        return Refusal("; ".join(result.errors), remedy=f"keep fapilog's contract for {kind}s")
    return _describe(made, plugin, kind)


def _find(kind: StageKind, plugin: str) -> Callable[[dict[str, Any]], object]:
    """Return what makes the plugin of its settings, as a worker does."""
    if ":" not in plugin:
        return lambda config: loader.load_plugin(GROUPS[kind], plugin, config)
    module, _, name = plugin.partition(":")
    found: Callable[..., object] = getattr(importlib.import_module(module), name)
    return lambda config: found(**config)


def _unknown(kind: StageKind, plugin: str) -> Refusal:
    for other, group in GROUPS.items():
        if other != kind and plugin in loader.list_available_plugins(group):
            return Refusal("it is of another kind", belongs=other)
    known = (name for found, name in _list_plugins().names if found == kind)
    return Refusal("there is none of that name", known=tuple(known))


def _refuse(error: BaseException, config: dict[str, Any]) -> Refusal:
    """Put what a plugin raised into one line, and find the key it is about."""
    while isinstance(error, loader.PluginLoadError) and error.__cause__ is not None:
        error = error.__cause__
    if argument := _UNEXPECTED_ARGUMENT.search(str(error)):
        return Refusal("is not a known key", at=(argument[1],))
    errors = getattr(error, "errors", None)
    if callable(errors) and (mistakes := errors()):  # pydantic's
        inner = ("config",) if set(config) == {"config"} else ()
        return Refusal(_one_line(mistakes[0]["msg"]), at=(*inner, *mistakes[0]["loc"]))
    reason = _one_line(str(error)) or type(error).__name__
    if isinstance(error, ImportError | AttributeError):
        return Refusal(reason, remedy="name what is installed or found on PYTHONPATH")
    return Refusal(reason, remedy="give it the settings that it needs, or repair it")


def _describe(made: object, plugin: str, kind: StageKind) -> Plugin:
    module = sys.modules.get(type(made).__module__)
    metadata = getattr(module, "PLUGIN_METADATA", None)
    told: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    schema = told.get("config_schema")
    return Plugin(
        version=str(told["version"]) if "version" in told else _distribution_version(plugin, kind),
        description=_one_line(str(told.get("description") or type(made).__doc__ or "")),
        healthy=_is_healthy(made),
        config_schema=schema if isinstance(schema, dict) else None,
    )


def _distribution_version(plugin: str, kind: StageKind) -> str | None:
    for entry in entry_points(group=GROUPS[kind]):
        if loader._normalize_plugin_name(entry.name) == plugin and entry.dist:  # noqa: SLF001
            return entry.dist.version
    return None


def _is_healthy(made: object) -> bool | None:
    check = getattr(made, "health_check", None)
    if not inspect.iscoroutinefunction(check):
        return None
    try:
        return bool(asyncio.run(asyncio.wait_for(check(), _HEALTH_SECONDS)))
    except Exception:  # noqa: BLE001 - a plugin may raise anything
        return False


def _kind_of(made: object) -> StageKind | None:
    return next((kind for kind, method in METHODS.items() if hasattr(made, method)), None)


def _list_plugins() -> Listed:
    names: dict[tuple[StageKind, str], None] = {}
    for kind, group in GROUPS.items():
        registry = loader._registry_for_group(group) or {}  # noqa: SLF001
        names |= {(kind, name): None for name in registry}
        names |= {
            (kind, loader._normalize_plugin_name(entry.name)): None  # noqa: SLF001
            for entry in entry_points(group=group)
        }
    return Listed(tuple(names))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]


if __name__ == "__main__":
    main()
