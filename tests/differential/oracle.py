"""fapilog's own classes and stage helpers, called in the order in which its worker calls them.

Guards are opened as far as fapilog lets us: the server bounds events itself. The one class that
is not quite fapilog's is that for URLs, at exactly those that are meant to differ.
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

import orjson
from fapilog.core.diagnostics import configure_diagnostics
from fapilog.core.serialization import serialize_envelope
from fapilog.plugins import enrichers, loader
from fapilog.plugins.filters import filter_in_order
from fapilog.plugins.redactors import redact_in_order
from fapilog.plugins.redactors.url_credentials import UrlCredentialsRedactor

from ingest.config.pipeline import Pipeline
from ingest.pipeline import exchange, reference
from ingest.pipeline.catalogue import ORIGIN
from ingest.pipeline.contracts import Event, Plugin
from ingest.pipeline.origin import Origin

RECEIVED_NS = 1_700_000_000_123_456_789
LISTENER = 'tcp-"é'
SHARD = 3

configure_diagnostics(enabled=False)


class _UrlCredentials(UrlCredentialsRedactor):
    def __init__(self) -> None:
        super().__init__(max_string_length=1 << 62)
        self._max_depth = self._max_scanned = sys.maxsize
        self._reference = reference.UrlCredentials()

    def _scrub_string(self, value: str) -> str:
        if is_meant_to_differ(value):
            return self._reference._scrub_string(value)
        return super()._scrub_string(value)


def is_meant_to_differ(url: str) -> bool:
    """Say whether fapilog would break this address or keep its secrets."""
    if "@" not in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
        host = parts.netloc.rpartition("@")[2]
        return "[" in host or (parts.path.startswith("//") and not parts.hostname)
    except ValueError:
        return True


class Oracle:
    """A pipeline of built-in stages, with the state of its filters."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._filters = [self._load("filters", name) for name in pipeline.filters]
        self._enrichers = [self._load("enrichers", name) for name in pipeline.enrichers]
        self._redactors = [self._load("redactors", name) for name in pipeline.redactors]

    async def start(self) -> None:
        """Start the plugins, as fapilog does before the first event."""
        for plugin in (*self._enrichers, *self._redactors, *self._filters):
            if not isinstance(plugin, Origin):
                await plugin.start()

    async def run(self, event: Event) -> Event | None:
        """Return what becomes of the event; None where a filter drops it."""
        kept = await filter_in_order(event, self._filters)
        if kept is None:
            return None
        for enricher in self._enrichers:
            if isinstance(enricher, Origin):
                kept = Origin.place(kept, enricher.members(origin()))
            else:
                kept = await enrichers.enrich_parallel(kept, [enricher])
        redacted: Event = await redact_in_order(kept, self._redactors)
        return redacted

    def _load(self, kind: str, name: str) -> Plugin:
        if name == ORIGIN:
            return Origin()
        if name == "url_credentials":
            return _UrlCredentials()
        settings = self._pipeline.config.builtin(name).plugin()
        return loader.load_plugin(f"fapilog.{kind}", name, settings)


def origin() -> exchange.Origin:
    """Return where all events of these tests come from."""
    return exchange.Origin(1, LISTENER, None, RECEIVED_NS, SHARD)


def envelope(event: Event) -> bytes | None:
    """Return what fapilog's `stdout_json` writes, or None for an event that it does not accept."""
    try:
        return serialize_envelope(event).data
    except Exception:  # noqa: BLE001 - the event is stored bare then, if it can be
        return None


def exact(event: Any) -> bytes:  # noqa: ANN401 - any value of JSON
    """Return a value as text that tells 1 from 1.0, 0.0 from -0.0, and one order from another."""
    return orjson.dumps(event)
