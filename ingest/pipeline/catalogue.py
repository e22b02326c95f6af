"""The stages that need no plugin: their names, kinds and native kernels, and fapilog's levels.

fapilog itself is not imported here; a test compares these tables with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.contract import StageKind

GROUPS: dict[StageKind, str] = {
    "filter": "fapilog.filters",
    "enricher": "fapilog.enrichers",
    "redactor": "fapilog.redactors",
    "processor": "fapilog.processors",
}
"""The entry-point group of each kind, in the order in which the kinds run."""

METHODS: dict[StageKind, str] = {
    "filter": "filter",
    "enricher": "enrich",
    "redactor": "redact",
    "processor": "process",
}
"""The method that makes a class a plugin of the kind."""

LEVELS = {
    "DEBUG": 10,
    "INFO": 20,
    "WARNING": 30,
    "WARN": 30,
    "ERROR": 40,
    "CRITICAL": 50,
    "FATAL": 50,
    "AUDIT": 60,
    "SECURITY": 70,
}
"""Priorities; a level of another name counts as INFO."""

SIZE_GUARD = "size_guard"
ORIGIN = "origin"
ORIGIN_PLUGIN = "ingest.pipeline.reference:Origin"
"""Our own enricher where it has to run in Python."""


@dataclass(frozen=True)
class Builtin:
    """A stage that can be configured without installing anything."""

    name: str
    kind: StageKind
    kernel: str | None
    """Its native kernel, or None: fapilog's own class runs in Python."""
    aliases: tuple[str, ...] = ()


_BUILTINS = (
    Builtin("level", "filter", "level"),
    Builtin("sampling", "filter", "sampling"),
    Builtin("rate_limit", "filter", "rate_limit"),
    Builtin("adaptive_sampling", "filter", "adaptive_sampling"),
    Builtin("trace_sampling", "filter", "trace_sampling"),
    Builtin("first_occurrence", "filter", "first_occurrence"),
    Builtin(ORIGIN, "enricher", "origin"),
    Builtin("kubernetes", "enricher", "constants", ("k8s", "k8s_enricher")),
    Builtin("runtime_info", "enricher", None, ("runtime_info_enricher",)),
    Builtin("context_vars", "enricher", None, ("context_vars_enricher",)),
    Builtin("field_mask", "redactor", "field_mask"),
    Builtin("regex_mask", "redactor", "regex_mask"),
    Builtin("url_credentials", "redactor", "url_credentials"),
    Builtin("field_blocker", "redactor", "field_blocker"),
    Builtin("string_truncate", "redactor", "string_truncate"),
    Builtin(SIZE_GUARD, "processor", "size_guard"),
    Builtin("zero_copy", "processor", "zero_copy"),
)
BUILTINS = {builtin.name: builtin for builtin in _BUILTINS}
_ALIASES = {alias: builtin.name for builtin in _BUILTINS for alias in builtin.aliases}


def canonical(name: str) -> str:
    """Return the one name of a stage: fapilog reads `K8S` and `k8s-enricher` as `kubernetes`."""
    if ":" in name:  # a class of a module, whose name is what it is
        return name
    plain = name.replace("-", "_").lower()
    return _ALIASES.get(plain, plain)
