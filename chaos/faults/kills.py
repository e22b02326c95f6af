"""SIGKILL of any role, and of all of them at once."""

from __future__ import annotations

import os
import signal
from random import Random
from typing import TYPE_CHECKING

from chaos.fault import Fault, Promise

if TYPE_CHECKING:
    from chaos.tier import Tier


class KillWorker(Fault):
    """A worker dies at any instruction."""

    name = "kill-worker"
    promise = Promise(words="nothing that was read is lost, connections live on")

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill a random worker; its successor takes over."""
        index, pid = chance.choice(sorted(tier.ready_workers().items()))
        os.kill(pid, signal.SIGKILL)
        tier.await_successor(index, pid)


class KillTree(Fault):
    """All processes die at once, as with the container that they are in."""

    name = "kill-tree"
    promise = Promise(
        words="nothing durable is lost; the rest is bounded by the sync interval and counted",
        loses_undurable=True,
        breaks_connections=True,
    )
    rounds_per_trial = 10

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill every process and start the server again."""
        tier.kill_tree(chance)
        tier.start()
