"""SIGSTOP: a process that is there and does nothing, for longer than anybody waits for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from chaos.fault import Fault
from chaos.faults.kills import NOTHING_LOST

if TYPE_CHECKING:
    from chaos.tier import Tier

_HEARTBEAT_TIMEOUT_SECONDS = 1.0
_IMPATIENT = {
    "INGEST_SUPERVISION__HEARTBEAT_TIMEOUT": f"{_HEARTBEAT_TIMEOUT_SECONDS}s",
    "INGEST_SUPERVISION__HEARTBEAT_INTERVAL": "50ms",
}
_LONGER = (1.1, 2.0)
"""So many times the timeout."""


class StopWorker(Fault):
    """A worker hangs until the watchdog kills it."""

    name = "stop-worker"
    promise = NOTHING_LOST
    rounds_per_trial = 10

    def environment(self) -> Mapping[str, str]:
        """Let the watchdog be impatient."""
        return _IMPATIENT

    def strike(self, tier: Tier, chance: Random) -> None:
        """Stop a random worker; the supervisor sees that it shows no life."""
        index, pid = chance.choice(sorted(tier.ready_workers().items()))
        os.kill(pid, signal.SIGSTOP)
        tier.await_successor(index, pid)


class PauseWorker(Fault):
    """A worker hangs for a while, and the watchdog is more patient than that."""

    name = "pause-worker"
    promise = NOTHING_LOST
    rounds_per_trial = 10

    def strike(self, tier: Tier, chance: Random) -> None:
        """Stop a random worker and let it go on; nobody replaces it."""
        before = tier.ready_workers()
        pid = chance.choice(sorted(before.values()))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(chance.uniform(0, _HEARTBEAT_TIMEOUT_SECONDS))
        os.kill(pid, signal.SIGCONT)
        tier.await_ready()
        assert tier.ready_workers() == before, "a worker was replaced that only paused"


class StopSupervisor(Fault):
    """The supervisor hangs, for longer than it would wait for others, and goes on."""

    name = "stop-supervisor"
    promise = NOTHING_LOST
    rounds_per_trial = 10

    def environment(self) -> Mapping[str, str]:
        """Let the watchdog be impatient: it must not take its own absence for that of others."""
        return _IMPATIENT

    def strike(self, tier: Tier, chance: Random) -> None:
        """Stop it, see that the workers work on, let it go on; nobody is replaced."""
        before = tier.ready_workers()
        os.kill(tier.server.pid, signal.SIGSTOP)
        try:
            tier.await_intake()
            time.sleep(_HEARTBEAT_TIMEOUT_SECONDS * chance.uniform(*_LONGER))
            tier.await_intake()
        finally:
            os.kill(tier.server.pid, signal.SIGCONT)
        tier.await_ready()
        assert tier.ready_workers() == before, "a worker was replaced while its supervisor hung"
