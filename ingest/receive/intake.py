"""Reading while the journals have room: the whole of back-pressure is in this file.

The shard's descriptor is readable while any of its sockets is. When the journals are full the
loop stops looking at it, the kernel's buffers fill and TCP senders wait; when the journals have
made progress the loop looks at it again. No data passes through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from ingest._native import Shard


class Intake:
    """Drains a shard whenever it can be drained."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shard: Shard) -> None:
        self._loop = loop
        self._shard = shard
        self._sockets = shard.fileno()
        self._progress = shard.progress_filenos()
        self._paused = False

    def start(self) -> None:
        """Begin to accept and to read. Raises OSError when a socket cannot listen."""
        self._shard.listen()
        self._watch_sockets()

    def tend(self) -> None:
        """Look whether a paused intake can go on: a wake-up that was missed costs little then."""
        if self._paused:
            self._resume()

    def stop(self) -> None:
        """Stop looking at the sockets; what they hold stays in the kernel."""
        self._loop.remove_reader(self._sockets)
        self._unwatch_progress()

    def _watch_sockets(self) -> None:
        self._loop.add_reader(self._sockets, self._drain)

    def _drain(self) -> None:
        if self._shard.drain():
            return
        self._paused = True
        self._loop.remove_reader(self._sockets)
        for descriptor in self._progress:
            self._loop.add_reader(descriptor, self._resume)

    def _resume(self) -> None:
        if self._shard.resume():
            self._paused = False
            self._unwatch_progress()
            self._watch_sockets()

    def _unwatch_progress(self) -> None:
        for descriptor in self._progress:
            self._loop.remove_reader(descriptor)
