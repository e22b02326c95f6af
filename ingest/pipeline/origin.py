"""The enricher `origin` in Python: where and when the server received an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from ingest.pipeline import exchange
from ingest.pipeline.contracts import Event


class Origin:
    """Writes `diagnostics.ingest`, in place of whatever the sender put there.

    An event does not tell its origin, so this enricher is not called with events: the host asks
    it once per run of events (`members`) and then places the answer (`place`).
    """

    name = "origin"

    def members(self, origin: exchange.Origin) -> dict[str, Any]:
        """Return what `diagnostics.ingest` says of events of this origin."""
        members: dict[str, Any] = {"received_at": _timestamp(origin.received_ns)}
        if origin.peer is not None:
            members["peer"] = origin.peer
        members = {**members, "listener": origin.listener, "shard": origin.shard}
        if origin.identity is not None:
            members |= msgspec.json.decode(f"{{{origin.identity}}}")
        return members

    @staticmethod
    def place(event: Event, members: dict[str, Any]) -> Event:
        """Return the event with the members in place."""
        diagnostics = event.get("diagnostics")
        others = diagnostics if isinstance(diagnostics, dict) else {}
        return {**event, "diagnostics": {**others, "ingest": members.copy()}}


def _timestamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
