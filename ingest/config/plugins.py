"""Which stages a pipeline can name: the built-in ones and the installed plugins."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

import ingest
from ingest.config import inspector
from ingest.config.pipeline import builtin_model
from ingest.contract import StageKind
from ingest.errors import IngestError
from ingest.pipeline.catalogue import BUILTINS, GROUPS, ORIGIN
from ingest.pipeline.inspection import Answer, Construct, Listed, ListPlugins, Plugin, Refusal

Health = Literal["healthy", "unhealthy", "unknown", "unusable"]


class AvailablePlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that can be named in `[pipeline]`."""

    kind: StageKind
    name: str
    runs: Literal["native", "python"]
    version: str | None
    description: str
    health: Health
    """What its health_check says with default settings; `unusable`: `reason` says why."""
    reason: str | None
    config_schema: dict[str, Any] | None
    """JSON Schema of its settings, where it has one."""


def available_plugins() -> list[AvailablePlugin]:
    """Return all of them by kind and name, also those that cannot be used."""
    (listed,) = inspector.ask([ListPlugins()])
    if not isinstance(listed, Listed):
        raise IngestError(f"the plugins cannot be listed: {listed}")
    installed = set(listed.names)
    installed |= {(builtin.kind, name) for name, builtin in BUILTINS.items()}
    order = list(GROUPS)
    names = sorted(installed, key=lambda at: (order.index(at[0]), at[1] not in BUILTINS, at[1]))
    asked = [at for at in names if at[1] != ORIGIN]
    answers = dict(
        zip(asked, inspector.ask([Construct(kind, name, {}) for kind, name in asked]), strict=True)
    )
    return [_describe(kind, name, answers.get((kind, name))) for kind, name in names]


def _describe(kind: StageKind, name: str, answer: Answer | None) -> AvailablePlugin:
    builtin = BUILTINS.get(name)
    if builtin is not None and builtin.kind != kind:
        builtin = None
    plugin = answer if isinstance(answer, Plugin) else None
    if builtin is not None:
        model = builtin_model(name)
        schema: dict[str, Any] | None = model.model_json_schema()
        # "Filter: drops ..." stands beside the kind here.
        description = " ".join(str(model.__doc__).partition(": ")[2].split())
    else:
        schema = plugin.config_schema if plugin else None
        description = plugin.description if plugin else ""
    return AvailablePlugin(
        kind=kind,
        name=name,
        runs="native" if builtin and builtin.kernel else "python",
        version=plugin.version if plugin else ingest.__version__ if name == ORIGIN else None,
        description=description,
        health=_health(answer),
        reason=answer.reason if isinstance(answer, Refusal) else None,
        config_schema=schema,
    )


def _health(answer: Answer | None) -> Health:
    match answer:
        case Refusal():
            return "unusable"
        case Plugin(healthy=None):
            return "unknown"
        case Plugin(healthy=False):
            return "unhealthy"
        case _:
            return "healthy"
