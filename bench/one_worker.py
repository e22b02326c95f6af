"""One worker of a server within this process: its shard, its intake, its loop, nobody above it.

For what a source of a worker would see, which cannot be asked for from outside.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvloop

from ingest import config
from ingest._native import Region, Shard
from ingest.contract import WorkerSpec
from ingest.receive import Durability, Intake
from ingest.supervisor import boot
from ingest.supervisor.specs import worker_spec
from ingest.worker.pipeline import PythonPipeline
from ingest.worker.worker import open_shard

_PATIENCE_SECONDS = 20.0
_TICK_SECONDS = 0.1
_FIRST_LISTENER = 0

T = TypeVar("T")


class OneWorker:
    """What a source of the worker has, and what its supervisor sees."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, shard: Shard, intake: Intake, region: Region
    ) -> None:
        self.loop = loop
        self.shard = shard
        self.intake = intake
        self.durability = Durability(intake)
        self.region = region
        self._tick()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the loop, and so the worker, until the work is done."""
        return self.loop.run_until_complete(work)

    async def end(self, patience_seconds: float = _PATIENCE_SECONDS) -> int:
        """Do what a worker does at its end; return how many requests had an error."""
        failed = await self.durability.close(patience_seconds)
        await self.intake.stop(patience_seconds)
        return failed

    def _tick(self) -> None:
        self.loop.call_later(_TICK_SECONDS, self._tick)
        self.shard.tick()
        self.intake.tend()


@contextmanager
def one_worker(
    configuration: Path | None, data_dir: Path, **settings: object
) -> Iterator[tuple[OneWorker, str]]:
    """Give a worker and the address of its first listener; at the end all it took is stored.

    `settings` go before those of the file.
    """
    loaded = config.load(configuration, {"data_dir": str(data_dir), "workers": 1, **settings})
    loop = uvloop.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        resources, deployment = boot.acquire(loaded, stack)
        spec = _inherited(worker_spec(deployment, resources, 0, 1))
        python = PythonPipeline(spec, resources.region)
        python.start(loop)
        shard = open_shard(spec, resources.region)
        intake = Intake(loop, shard, python.process if python else None)
        intake.start()
        worker = OneWorker(loop, shard, intake, resources.region)
        # Nothing can be submitted before it has looked at what a predecessor left.
        worker.run(worker.durability.store(_FIRST_LISTENER, b""))
        yield worker, deployment.listeners[0].address
        worker.run(worker.end())
        shard.finish(_PATIENCE_SECONDS)
        python.stop(loop)


def _inherited(spec: WorkerSpec) -> WorkerSpec:
    """Return the spec with copies of the descriptors that a shard closes."""
    listeners = (
        msgspec.structs.replace(each, descriptor=each.descriptor and os.dup(each.descriptor))
        for each in spec.listeners
    )
    return msgspec.structs.replace(
        spec,
        inbox=os.dup(spec.inbox),
        outboxes=tuple(map(os.dup, spec.outboxes)),
        listeners=tuple(listeners),
    )
