"""Keep the count of a listener's kernel drops right when its socket is not the one it was.

The kernel counts for a socket, from 0; the counter of a listener goes on for ever, also over
another socket. A worker adds what is new by `kernel - (counter - base)`, and the base is set here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest._native import Region
    from ingest.sockets import SocketGroup
    from ingest.supervisor.deployment import Deployment

_CELL_VALUES = 2**64


class KernelDrops:
    """What of the drops of each socket of a slot is in a counter already."""

    def __init__(self, region: Region, worker: int) -> None:
        self._region = region
        self._worker = worker
        self._counted: dict[SocketGroup, int] = {}

    def change(self, before: Deployment, after: Deployment) -> None:
        """Set the bases for other listeners; no worker may have a socket that moves."""
        for index, listener in enumerate(before.listeners):
            if listener.group is not None:
                counted = self._total(index) - self._get("ingest_kernel_drops_base", index)
                self._counted[listener.group] = counted % _CELL_VALUES
        for index, listener in enumerate(after.listeners):
            if listener.group is not None:
                base = self._total(index) - self._counted.get(listener.group, 0)
                self._region.set(
                    self._worker,
                    "ingest_kernel_drops_base",
                    base % _CELL_VALUES,
                    listener=index,
                )

    def _total(self, index: int) -> int:
        return self._get("ingest_kernel_dropped_total", index)

    def _get(self, cell: str, index: int) -> int:
        return self._region.get(self._worker, cell, listener=index)
