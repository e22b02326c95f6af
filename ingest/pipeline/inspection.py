"""What is asked of `python -m ingest.pipeline.inspect`, and what it answers.

fapilog and the plugins are imported there and nowhere else before a worker: they cost half a
second and 44 MB, and may do anything. One line of JSON per task and per answer, in order.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.contract import StageKind


class _Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Which one it is stands in the key `type`."""


class ExpandPreset(_Message, frozen=True):
    """Say what a preset of fapilog makes of the pipeline."""

    name: str


class ExpandRedaction(_Message, frozen=True):
    """Say which fields and patterns a redaction preset of fapilog has."""

    name: str


class Construct(_Message, frozen=True):
    """Make a plugin, as a worker will."""

    kind: StageKind
    plugin: str
    config: dict[str, Any]


class ListPlugins(_Message, frozen=True):
    """Name fapilog's own and all installed plugins, without importing the latter."""


Task = ExpandPreset | ExpandRedaction | Construct | ListPlugins


class Preset(_Message, frozen=True):
    """The part of a preset that a server can follow."""

    log_level: str
    filters: tuple[str, ...]
    redactors: tuple[str, ...]
    redaction_presets: tuple[str, ...]


class Redaction(_Message, frozen=True):
    """A redaction preset, its parents included, sorted."""

    fields: tuple[str, ...]
    patterns: tuple[str, ...]


class Plugin(_Message, frozen=True):
    """A plugin that could be made."""

    version: str | None
    description: str
    healthy: bool | None
    """What its `health_check` says before it is started; None where it has none."""
    config_schema: dict[str, Any] | None


class Listed(_Message, frozen=True):
    """The plugins there are, as kind and name."""

    names: tuple[tuple[StageKind, str], ...]


class Refusal(_Message, frozen=True):
    """Why there is no such answer."""

    reason: str
    at: tuple[str | int, ...] = ()
    """Below the settings of the plugin, where the fault is one of them."""
    known: tuple[str, ...] = ()
    """The names there are, where the one asked for is not among them."""
    belongs: StageKind | None = None
    """The kind that it is of, where it is not of the one asked for."""
    remedy: str = ""
    """What may help, where `at` or `known` do not tell."""


Answer = Preset | Redaction | Plugin | Listed | Refusal
