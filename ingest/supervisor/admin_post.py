"""The post of the admin role; the server takes events in without it as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest import contract
from ingest.supervisor import process, specs
from ingest.supervisor.post import Post

if TYPE_CHECKING:
    from ingest.config import Settings
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.process import Child


class AdminPost(Post):
    """Keeps the admin role running."""

    def __init__(self, settings: Settings, resources: Resources) -> None:
        super().__init__(settings.supervision, process="admin")
        self._settings = settings
        self._resources = resources

    def _launch(self) -> Child:
        spec = specs.admin_spec(self._settings, self._resources)
        return process.spawn(
            "ingest.admin",
            contract.encode(spec),
            [spec.descriptor, spec.region, spec.lifeline, self._resources.data_directory.lock],
        )

    def _is_ready(self, now: float) -> bool:
        """Take it as ready once it has outlived the time to start; it has no cell to say so."""
        return now >= self.slot.next_decision(now)

    def _heartbeat(self, now: float) -> float:
        """Nobody loses an event to an admin role that hangs, so it is watched only for its end."""
        return now
