"""The third party's enricher of the case `plugin`: nothing in it knows of this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Region:
    """Adds the region that the network of an event's address belongs to."""

    name = "region"

    def __init__(self, regions: Mapping[str, str], default: str = "unknown") -> None:
        self._regions = dict(regions)
        self._default = default

    async def start(self) -> None:
        """Do nothing; a real one would open its database."""

    async def stop(self) -> None:
        """Do nothing."""

    async def enrich(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what is to be merged into the event."""
        address = str(event.get("data", {}).get("ip", ""))
        network = address.rpartition(".")[0]
        return {"diagnostics": {"region": self._regions.get(network, self._default)}}
