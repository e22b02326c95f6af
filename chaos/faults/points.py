"""SIGKILL of a worker at named points of its work on the journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar

from chaos.faults import faulty
from chaos.faults.faulty import OnFaultyDisk
from chaos.faults.kills import NOTHING_LOST
from chaos.faulty_disk import Action, FaultyDisk, Point, Rule
from chaos.tier import RECOVERY_SECONDS
from tests.harness import is_running, wait_until

if TYPE_CHECKING:
    from chaos.tier import Tier

_MOST_SKIPPED = 8
"""So many calls at most come to the point before the one that is struck."""


class KillAtPoint(OnFaultyDisk):
    """A worker is killed at one of several points of its choice."""

    points: ClassVar[tuple[Point, ...]]

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill the worker that comes there, and wait for its successor."""
        point, skipped = chance.choice(self.points), chance.randrange(_MOST_SKIPPED)
        with self.disk.rule(point, Action.KILL, first=skipped) as rule:
            await_death(rule)
        tier.await_recovery()


def await_death(rule: Rule) -> None:
    """Wait until a process has died of a rule."""
    wait_until(lambda: rule.process and not is_running(rule.process), RECOVERY_SECONDS)


class KillBeforeSync(KillAtPoint):
    """The batches are in the file and not on the disk."""

    name = "kill-after-write-before-sync"
    promise = NOTHING_LOST
    points = faulty.BEFORE_SYNC


class KillAfterSync(KillAtPoint):
    """The batches are on the disk and nobody knows."""

    name = "kill-after-sync-before-publish"
    promise = NOTHING_LOST
    points = faulty.AFTER_SYNC


class KillWithinWrite(KillAtPoint):
    """Half of a batch is in the file."""

    name = "kill-within-write"
    promise = NOTHING_LOST
    points = (faulty.WITHIN_WRITE,)


class KillDuringRotation(KillAtPoint):
    """A new segment is about to be there, or is there and its name is not durable."""

    name = "kill-during-rotation"
    promise = NOTHING_LOST
    points = faulty.ROTATION


class KillDuringRecovery(KillAtPoint):
    """The successor of a worker that died within a write dies as it cuts the segment."""

    name = "kill-during-recovery"
    promise = NOTHING_LOST
    points = faulty.RECOVERY

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill a worker within a write, and its successor, or two, at the same point.

        After a cut that was done there is no second one at that point.
        """
        deaths = chance.randint(1, 2)
        rule = self.disk.set(chance.choice(self.points), Action.KILL, count=deaths)
        with self.disk.rule(faulty.WITHIN_WRITE, Action.KILL) as first:
            await_death(first)
            wait_until(lambda: rule.hits, RECOVERY_SECONDS)
            tier.await_recovery()
        rule.end()


class KillDuringRetention(KillAtPoint):
    """A segment is about to be deleted, or just is."""

    name = "kill-during-retention"
    promise = NOTHING_LOST
    points = faulty.RETENTION

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.disk.close()
        kept = directory / "kept"
        kept.mkdir()
        self.disk = FaultyDisk(directory / "data", kept)

    def environment(self) -> Mapping[str, str]:
        """Have little kept."""
        return {**super().environment(), "INGEST_JOURNAL__RETENTION_BYTES": "4MiB"}

    def restore(self) -> None:
        """Put back what was deleted: with it, nothing may be missing."""
        self.disk.put_back()


class KillDuringSealing(KillAtPoint):
    """Part of a seal is in the chain, or all of it and nobody knows."""

    name = "kill-during-sealing"
    promise = NOTHING_LOST
    points = faulty.SEALING


class KillDuringRecompression(KillAtPoint):
    """A segment is being packed, or about to be replaced, or just is."""

    name = "kill-during-recompression"
    promise = NOTHING_LOST
    points = faulty.RECOMPRESSION
