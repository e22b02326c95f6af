"""Limits of the system: no more file descriptors, no more memory."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from chaos.fault import Fault, Unavailable
from chaos.faults.kills import NOTHING_LOST
from chaos.memory_limit import MemoryLimit
from tests.harness import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from chaos.tier import Tier

_DESCRIPTORS = 200
"""For each process: enough for the senders, with what workers reserve for their journals."""
_CROWD = 300
"""Connections that say nothing, at least."""
_LIMIT_BYTES = 4 * 1024 * 1024
_HALF_A_LINE = b'{"message":"' + b"x" * 500_000
_GREEDY = 64
"""Connections with half a long line each: far more than the limit."""


class ExhaustDescriptors(Fault):
    """The processes of the server may open few files, and a crowd wants more connections."""

    name = "exhaust-descriptors"
    promise = NOTHING_LOST

    def wrapper(self) -> Sequence[str]:
        """Start the server with a low limit."""
        if (prlimit := shutil.which("prlimit")) is None:
            raise Unavailable("there is no prlimit")
        return (prlimit, f"--nofile={_DESCRIPTORS}:{_DESCRIPTORS}", sys.executable, "-m")

    def strike(self, tier: Tier, chance: Random) -> None:
        """Let a crowd connect until somebody has to wait, and leave again."""
        before = _pauses(tier)
        with ExitStack() as stack:
            for _ in range(_CROWD + chance.randrange(_CROWD)):
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
