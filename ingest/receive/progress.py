"""Who waits for the journals of a shard: called whenever these have made progress.

An event loop looks at a descriptor for one callback only, so all that wait share this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest._native import Shard


class Progress:
    """Looks at the progress descriptors of a shard while anyone waits, and only then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shard: Shard) -> None:
        self._loop = loop
        self._shard = shard
        self._descriptors = shard.progress_filenos()
        self._callbacks: dict[Callable[[], None], None] = {}

    def watch(self, callback: Callable[[], None]) -> None:
        """Call this after every commit, until `unwatch`."""
        if not self._callbacks:
            for descriptor in self._descriptors:
                self._loop.add_reader(descriptor, self._made)
        self._callbacks[callback] = None

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Call it no more; that it never was is no mistake."""
        self._callbacks.pop(callback, None)
        if not self._callbacks:
            for descriptor in self._descriptors:
                self._loop.remove_reader(descriptor)

    def tell(self) -> None:
        """Call all that wait: something else than a commit may have helped them."""
        for callback in list(self._callbacks):
            callback()

    def _made(self) -> None:
        # Before anyone looks, so that no commit behind that look is missed.
        self._shard.acknowledge_progress()
        self.tell()
