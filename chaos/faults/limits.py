"""Limits of the system: no more file descriptors, no more memory."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from chaos.fault import Fault
from chaos.faults.kills import NOTHING_LOST
from chaos.memory_limit import MemoryLimit
from tests.harness import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from chaos.tier import Tier

_CROWD = 100
"""Connections that say nothing."""
_MOST_SPARE_DESCRIPTORS = 10
_LIMIT_BYTES = 4 * 1024 * 1024
_HALF_A_LINE = b'{"message":"' + b"x" * 500_000
_GREEDY = 64
"""Connections with half a long line each: far more than the limit."""


class ExhaustDescriptors(Fault):
    """The workers have no file descriptors left for those who want to connect."""

    name = "exhaust-descriptors"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Lower the limits of all workers, let a crowd connect, and raise them again."""
        with ExitStack() as stack:
            for pid in tier.ready_workers().values():
                limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                stack.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, limits)
                lower = _descriptors_end(pid) + chance.randint(0, _MOST_SPARE_DESCRIPTORS)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (lower, limits[1]))
            before = _pauses(tier)
            for _ in range(_CROWD):
                stack.enter_context(tier.server.connect())
            wait_until(lambda: _pauses(tier) > before)
            tier.await_intake()
        tier.await_ready()


class ExhaustMemory(Fault):
    """The kernel kills a worker because its control group is out of memory."""

    name = "exhaust-memory"
    promise = NOTHING_LOST

    def __init__(self, directory: Path) -> None:
        """Raise Unavailable where we may make no control group."""
        super().__init__(directory)
        MemoryLimit().close()

    def strike(self, tier: Tier, chance: Random) -> None:
        """Confine a worker, and have it keep more than it has room for."""
        index, pid = chance.choice(sorted(tier.ready_workers().items()))
        with MemoryLimit() as limit, ExitStack() as stack:
            limit.confine(pid, _LIMIT_BYTES)
            for _ in range(_GREEDY):
                connection = stack.enter_context(tier.server.connect())
                connection.settimeout(PATIENCE_SECONDS)
                _send_what_fits(connection)
            tier.await_successor(index, pid)


def _descriptors_end(pid: int) -> int:
    """Return the number behind the highest descriptor that a process has open."""
    return 1 + max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


def _pauses(tier: Tier) -> int:
    """Return how often workers have left somebody waiting who wanted to connect."""
    region = tier.server.region
    return sum(
        region.get(slot, "ingest_accept_pauses_total", label="descriptors")
        for slot in range(region.workers)
    )


def _send_what_fits(connection: socket.socket) -> None:
    """Send half a line, or as much of it as a worker takes that may just be killed for it."""
    with suppress(OSError):
        connection.sendall(_HALF_A_LINE)
