"""Reading while the journals have room: the whole of back-pressure is in this file.

The shard's descriptor is readable while any of its sockets is. When the journals are full the
loop stops looking at it, the kernel's buffers fill and TCP senders wait; when the journals have
made progress the loop looks at it again. Likewise nothing is read while Python works on a batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ingest.receive.progress import Progress

if TYPE_CHECKING:
    from ingest._native import Handoff, Shard

_GIVE_UP_SECONDS = 1.0
"""How long a plugin may take to be cancelled."""

Answer = tuple[bytes, bytes, bytes]
"""What `Shard.accept` takes back: lines, verdicts, stages."""
Process = Callable[["Handoff"], Awaitable[Answer]]
"""Has Python work on a batch."""


class Intake:
    """Drains a shard whenever it can be drained."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, shard: Shard, process: Process | None = None
    ) -> None:
        """Without `process` no batch is ever handed over, and a drain ends in its callback."""
        self.shard = shard
        self.progress = Progress(loop, shard)
        self._loop = loop
        self._process = process
        self._sockets = shard.fileno()
        self._paused = False
        self._readable = asyncio.Event()
        self._stopping = False
        self._pump: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to accept and to read. Raises OSError when a socket cannot listen."""
        self.shard.listen()
        if self._process is not None:
            self._pump = self._loop.create_task(self._hand_over(self._process))
            self._pump.add_done_callback(self._pump_ended)
        self._watch_sockets()

    def tend(self) -> None:
        """Have all that wait look whether they can go on: what woke nobody costs little then."""
        self.progress.tell()

    def submit(
        self, listener: int, body: bytes, peer: str | None, identity: str | None
    ) -> int | None:
        """Take the body of a request: `Shard.submit`, and what it is for Python is handed over."""
        position = self.shard.submit(listener, body, peer, identity)
        if position is not None and self._process is not None:
            self._wake_pump()
        return position

    async def stop(self, patience_seconds: float) -> None:
        """Stop looking at the sockets; what they hold stays in the kernel.

        A batch that Python has in its hands is waited for, and given up when that takes too long.
        """
        self._loop.remove_reader(self._sockets)
        self.progress.unwatch(self._resume)
        self._stopping = True
        self._readable.set()
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=patience_seconds)
            if self._pump.cancel():
                await asyncio.wait([self._pump], timeout=_GIVE_UP_SECONDS)

    def _watch_sockets(self) -> None:
        if self._process is None:
            self._loop.add_reader(self._sockets, self._drain)
        elif not self._stopping:
            self._loop.add_reader(self._sockets, self._wake_pump)

    def _wake_pump(self) -> None:
        self._loop.remove_reader(self._sockets)
        self._readable.set()

    async def _hand_over(self, process: Process) -> None:
        """Drain, and have Python work on what was read, in one task for the life of the worker."""
        while True:
            await self._readable.wait()
            self._readable.clear()
            if self._stopping:
                return
            has_room = self.shard.drain()
            while (batch := self.shard.take_handoff()) is not None:
                self.shard.accept(batch, *await process(batch))
            # Nothing could be submitted meanwhile.
            self.progress.tell()
            if has_room:
                self._watch_sockets()
            else:
                self._pause()

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        """Let the loop's exception handler, which ends the worker, have what ended the pump."""
        if not pump.cancelled() and (error := pump.exception()):
            self._loop.call_exception_handler({"exception": error, "task": pump})

    def _drain(self) -> None:
        if not self.shard.drain():
            self._loop.remove_reader(self._sockets)
            self._pause()

    def _pause(self) -> None:
        self._paused = True
        self.progress.watch(self._resume)

    def _resume(self) -> None:
        if not self._stopping and self.shard.resume():
            self._paused = False
            self.progress.unwatch(self._resume)
            self._watch_sockets()
