"""Find the class of a Python stage and make the plugin of it."""

from __future__ import annotations

import importlib

from ingest.contract import StageSpec
from ingest.errors import BootError
from ingest.pipeline.catalogue import METHODS
from ingest.pipeline.contracts import Plugin
from ingest.pipeline.origin import Origin
from ingest.pipeline.stage import Stage

_CARELESS = frozenset({"fapilog.plugins.enrichers.context_vars"})
"""fapilog's own modules whose results share parts with the event."""


def load(index: int, spec: StageSpec) -> Stage:
    """Return the stage with its plugin; raise BootError where there is none that can be used."""
    try:
        plugin = _make(spec)
    except (Exception, SystemExit) as error:
        raise BootError(f"the plugin of the stage '{spec.name}' cannot be used: {error}") from error
    method = METHODS[spec.kind]
    if not isinstance(plugin, Origin) and not callable(getattr(plugin, method, None)):
        raise BootError(f"the plugin of the stage '{spec.name}' is no {spec.kind}: no {method}()")
    module = type(plugin).__module__
    tidy = module.partition(".")[0] in {"fapilog", "ingest"} and module not in _CARELESS
    return Stage(index, spec, plugin, tidy=tidy)


def _make(spec: StageSpec) -> Plugin:
    from fapilog.core.diagnostics import configure_diagnostics  # noqa: PLC0415 - slow to import
    from fapilog.plugins import loader  # noqa: PLC0415

    from ingest.pipeline.reference import OVERRIDES  # noqa: PLC0415

    # They go to standard error and may quote events; and until this is decided, the first of them
    # reads all of fapilog's settings while an event waits.
    configure_diagnostics(enabled=False)
    module, _, name = spec.plugin.rpartition(":")
    if module:
        return getattr(importlib.import_module(module), name)(**spec.config)
    override = OVERRIDES.get((spec.kind, spec.plugin.replace("-", "_").lower()))
    if override is not None:
        return override(**spec.config)
    group = f"fapilog.{spec.kind}s"
    importlib.import_module(f"fapilog.plugins.{spec.kind}s")  # registers the built-ins
    return loader.load_plugin(group, spec.plugin, spec.config)
