"""Tell whose code an event comes from."""

from __future__ import annotations

from typing import Any

PLUGIN_METADATA = {
    "name": "owner",
    "version": "2.1.0",
    "description": "Adds the team that owns the logger.",
    "author": "Storefront Ltd",
    "plugin_type": "enricher",
    "entry_point": "fapilog_storefront.owner:OwnerEnricher",
    "compatibility": {"min_fapilog_version": "0.18.0"},
    "api_version": "1.0",
    "config_schema": {
        "type": "object",
        "required": ["teams"],
        "properties": {
            "teams": {"type": "object", "additionalProperties": {"type": "string"}},
            "fallback": {"type": "string"},
        },
    },
}


class OwnerEnricher:
    """Looks the logger up in a table, then its parents: `shop.cart` before `shop`."""

    name = "owner"

    def __init__(self, teams: dict[str, str], fallback: str = "nobody") -> None:
        self._teams = teams
        self._fallback = fallback
        self._known: dict[str, str] | None = None

    async def start(self) -> None:
        """Begin to remember answers."""
        self._known = {}

    async def stop(self) -> None:
        """Forget them."""
        self._known = None

    async def enrich(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what is to be merged into the event."""
        assert self._known is not None, "it was not started"
        logger = event.get("logger", "root")
        if logger not in self._known:
            self._known[logger] = self._look_up(logger)
        return {"data": {"owner": self._known[logger]}}

    async def health_check(self) -> bool:
        """Return whether it is running."""
        return self._known is not None

    def _look_up(self, logger: str) -> str:
        while logger and logger not in self._teams:
            logger = logger.rpartition(".")[0]
        return self._teams.get(logger, self._fallback)
