"""SIGKILL of any role: while it works, while another is being made ready, or of all at once."""

from __future__ import annotations

import os
import signal
import time
from random import Random
from typing import TYPE_CHECKING, ClassVar

from chaos.fault import Fault, Promise
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.tier import Tier

NOTHING_LOST = Promise(words="nothing that was read is lost, connections live on")
_MOST_RECOVERY_SECONDS = 0.4
"""About as long as a worker takes to start, recover the journal and replay."""
_MOST_DEATHS = 3


class KillWorker(Fault):
    """A worker dies at any instruction."""

    name = "kill-worker"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill a random worker; its successor takes over."""
        index, pid = chance.choice(sorted(tier.ready_workers().items()))
        os.kill(pid, signal.SIGKILL)
        tier.await_successor(index, pid)


class KillWorkerOfDatagrams(KillWorker):
    """The same, and events come as datagrams."""

    name = "kill-worker-udp"
    promise = Promise(words="of UDP, nothing is lost but what the kernel dropped, which is counted")
    transport = "udp"
    most_rate = 20_000


class KillWorkerWithTls(KillWorker):
    """The same, and connections are encrypted, with keys that die with the worker."""

    name = "kill-worker-tls"
    promise = Promise(
        words="of TLS, nothing that was read is lost; the worker's connections end",
        breaks_connections=True,
    )
    transport = "tls"
    most_rate = 100_000


class KillWorkerWithPlugin(KillWorker):
    """The same, and a plugin in Python has events in its hands."""

    name = "kill-worker-plugin"
    promise = Promise(
        words="with a plugin in Python, nothing that was read is lost, connections live on",
        changes_events=True,
    )
    pipeline = "enriched"
    most_rate = 50_000


class KillAllWorkers(Fault):
    """Every worker dies in the same moment, so that none can be of help to another."""

    name = "kill-all-workers"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill all workers in random order."""
        workers = sorted(tier.ready_workers().items())
        chance.shuffle(workers)
        for _, pid in workers:
            os.kill(pid, signal.SIGKILL)
        for index, pid in workers:
            tier.await_successor(index, pid)


class KillRecovering(Fault):
    """A worker dies, and its successor while it recovers what the first has left; and again."""

    name = "kill-recovering"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill a worker and then, some milliseconds after it was started, each successor."""
        index, pid = chance.choice(sorted(tier.ready_workers().items()))
        os.kill(pid, signal.SIGKILL)
        for _ in range(chance.randint(1, _MOST_DEATHS)):
            pid = tier.await_started(index, pid)
            time.sleep(chance.uniform(0, _MOST_RECOVERY_SECONDS))
            os.kill(pid, signal.SIGKILL)
        tier.await_successor(index, pid)


class KillReplacing(Fault):
    """Workers are replaced in order, and some process of that dies meanwhile."""

    name = "kill-replacing"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Have all workers replaced and kill a worker or a successor at some moment of it."""
        before = set(tier.processes_of("worker"))
        tier.server.signal(signal.SIGUSR1)
        wait_until(lambda: set(tier.processes_of("worker")) - before)
        time.sleep(chance.uniform(0, _MOST_RECOVERY_SECONDS))
        victim = chance.choice(tier.processes_of("worker"))
        tier.kill(victim)
        tier.await_gone(victim)
        tier.await_replaced()


class KillHolder(Fault):
    """The process that would keep a worker's connections dies; the worker lives."""

    name = "kill-holder"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill a random holder; its worker is replaced, which gives the slot a new one."""
        index, pid = chance.choice(sorted(tier.holders().items()))
        os.kill(pid, signal.SIGKILL)
        tier.await_holder(index, pid)


class KillWorkerAndHolder(Fault):
    """A worker dies together with the process that would keep its connections."""

    name = "kill-worker-and-holder"
    promise = Promise(
        words="nothing that was read is lost; the worker's connections end",
        breaks_connections=True,
    )

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill both, in random order."""
        index, pid = chance.choice(sorted(tier.ready_workers().items()))
        both = [pid, tier.holders()[index]]
        chance.shuffle(both)
        for victim in both:
            os.kill(victim, signal.SIGKILL)
        tier.await_successor(index, pid)


class KillAdmin(Fault):
    """The admin process dies, which ingestion does not need."""

    name = "kill-admin"
    promise = NOTHING_LOST

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill it; another one follows."""
        (admin,) = tier.processes_of("admin")
        os.kill(admin, signal.SIGKILL)
        wait_until(lambda: tier.processes_of("admin") not in ([], [admin]))


class KillSupervisor(Fault):
    """The supervisor dies; its workers store what they have, and end."""

    name = "kill-supervisor"
    promise = Promise(
        words="nothing that was read is lost; connections end",
        breaks_connections=True,
    )
    rounds_per_trial = 10

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill it, wait for the end of the others, and start the server again."""
        tier.kill_supervisor()
        tier.start()


class KillAny(Fault):
    """Some process of the server dies, whichever it is."""

    name = "kill-any"
    promise = Promise(
        words="nothing that was read is lost; connections end with the supervisor only",
        breaks_connections=True,
    )
    rounds_per_trial = 10
    _kinds: ClassVar[Sequence[type[Fault]]] = (KillWorker, KillHolder, KillAdmin, KillSupervisor)

    def strike(self, tier: Tier, chance: Random) -> None:
        """Strike as one of the others does."""
        chance.choice(self._kinds)(self.directory).strike(tier, chance)


class KillTree(Fault):
    """All processes die at once, as with the container that they are in."""

    name = "kill-tree"
    promise = Promise(
        words="nothing durable is lost; what was not yet durable is counted",
        loses_undurable=True,
        breaks_connections=True,
    )
    rounds_per_trial = 10

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill every process and start the server again."""
        tier.kill_tree(chance)
        tier.start()
