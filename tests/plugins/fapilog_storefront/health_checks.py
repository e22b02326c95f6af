"""Drop events about requests that load balancers make all day."""

from __future__ import annotations

from typing import Any

PLUGIN_METADATA = {
    "name": "health_checks",
    "version": "2.1.0",
    "description": "Drops events about successful requests for health checks.",
    "author": "Storefront Ltd",
    "plugin_type": "filter",
    "entry_point": "fapilog_storefront.health_checks:HealthCheckFilter",
    "compatibility": {"min_fapilog_version": "0.18.0"},
    "api_version": "1.0",
    "config_schema": {
        "type": "object",
        "properties": {"paths": {"type": "array", "items": {"type": "string"}}},
    },
    "default_config": {"paths": ["/healthz", "/readyz"]},
}

_FIRST_ERROR_STATUS = 400


class HealthCheckFilter:
    """Lets everything else pass, and health checks that fail."""

    name = "health_checks"

    def __init__(self, paths: list[str] | None = None) -> None:
        self._paths = frozenset(("/healthz", "/readyz") if paths is None else paths)

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def filter(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the event, or None for a health check that went well."""
        data = event.get("data", {})
        if data.get("path") in self._paths and data.get("status", 0) < _FIRST_ERROR_STATUS:
            return None
        return event

    async def health_check(self) -> bool:
        """Return whether there is anything to look for."""
        return bool(self._paths)
