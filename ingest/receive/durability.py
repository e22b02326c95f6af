"""Acknowledged means durable: bodies of requests in, and a word when they are on the disk.

For sources whose protocol has an answer. While the journals are stalled their requests wait; with
the end of the worker each of them is durable or has an error, never an acknowledgement that is not
true. What was submitted and not acknowledged may be stored all the same: its sender sends it again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

from ingest.errors import NotDurableError

if TYPE_CHECKING:
    from ingest.receive.intake import Intake

WAITING_MAXIMUM = 10_000
"""Beyond so many requests that wait to become durable, the next wait to be submitted."""


class Durability:
    """Serves any number of sources of one worker, in its loop."""

    def __init__(self, intake: Intake, waiting_maximum: int = WAITING_MAXIMUM) -> None:
        self._intake = intake
        self._shard = intake.shard
        self._progress = intake.progress
        self._waiting_maximum = waiting_maximum
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap by position; a number keeps those of one position apart."""
        self._numbers = itertools.count()
        self._turn = asyncio.Lock()
        self._has_room = asyncio.Event()
        self._closing = False

    async def store(
        self, listener: int, body: bytes, *, peer: str | None = None, identity: str | None = None
    ) -> None:
        """Submit a body and return when it is durable: now it may be acknowledged."""
        await self.reached(await self.submit(listener, body, peer=peer, identity=identity))

    async def submit(
        self, listener: int, body: bytes, *, peer: str | None = None, identity: str | None = None
    ) -> int:
        """Hand on a body once there is room; return the position to wait for with `reached`.

        Arguments and errors are those of `Shard.submit`. Those who came first are served first.
        Raises NotDurableError when the worker ends.
        """
        async with self._turn:
            while not self._closing:
                if len(self._waiting) < self._waiting_maximum:
                    position = self._intake.submit(listener, body, peer, identity)
                    if position is not None:
                        return position
                await self._room()
        raise NotDurableError("the worker ends and takes nothing more")

    async def reached(self, position: int) -> None:
        """Wait until everything below a position is durable, however long that takes.

        Raises NotDurableError when the worker ends before.
        """
        if self._shard.durable_position() >= position:
            return
        if self._closing:
            raise NotDurableError("the worker ends")
        future = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._progress.watch(self._look)
        heapq.heappush(self._waiting, (position, next(self._numbers), future))
        await future

    async def close(self, patience_seconds: float) -> int:
        """Refuse what comes now, and wait for what was submitted; return how many had an error.

        They have it because their events are not durable in this time. What Python works on has to
        come back meanwhile, so the intake is stopped after this and not before.
        """
        self._closing = True
        self._has_room.set()
        self._shard.sync_now()
        waiting = [future for _, _, future in self._waiting if not future.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=patience_seconds)
        failed = [future for future in waiting if not future.done()]
        for future in failed:
            future.set_exception(NotDurableError("the worker ends"))
        self._waiting.clear()
        self._progress.unwatch(self._look)
        return len(failed)

    async def _room(self) -> None:
        """Wait until it is worth another look; only one at a time does."""
        self._has_room.clear()
        self._progress.watch(self._has_room.set)
        try:
            await self._has_room.wait()
        finally:
            self._progress.unwatch(self._has_room.set)

    def _look(self) -> None:
        """Wake those whose position is reached; those who gave up have left an entry."""
        durable = self._shard.durable_position()
        if self._closing:
            # There is no time to wait for the sync interval, nor what Python has just given back.
            self._shard.sync_now()
        while self._waiting and self._waiting[0][0] <= durable:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        if not self._waiting:
            self._progress.unwatch(self._look)
