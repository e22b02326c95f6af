"""Disks that are full, slow, failing or read-only for a while: senders wait and lose nothing."""

from __future__ import annotations

import errno
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from chaos.fault import Fault, Promise
from chaos.faults.faulty import SMALL_SEGMENTS, WITHIN_WRITE, OnFaultyDisk
from chaos.faulty_disk import Action, Call, Point, Rule
from chaos.mounts import Tmpfs
from chaos.tier import RECOVERY_SECONDS
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.tier import Tier

UNHARMED = Promise(words="senders wait; nothing is lost, connections live on")

_MIB = 1024 * 1024
_MOST_SECONDS = 0.5
"""The longest that a fault lasts after it has been felt."""


def last(rules: list[Rule], chance: Random) -> None:
    """Wait until the server has met one of the rules a few times, and then a moment more."""
    met = chance.randint(1, 3)
    wait_until(lambda: any(rule.hits >= met for rule in rules), RECOVERY_SECONDS)
    time.sleep(chance.uniform(0, _MOST_SECONDS))


class FullDisk(Fault):
    """Another file takes all the room."""

    name = "full-disk"
    promise = UNHARMED
    rounds_per_trial = 5

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._ballast = directory / "data" / "ballast"
        self._disk = Tmpfs(directory / "data", 1024 * _MIB)

    def environment(self) -> Mapping[str, str]:
        """Have the room run out also when a segment begins, and the queues fill quickly."""
        return {**SMALL_SEGMENTS, "INGEST_JOURNAL__QUEUE_BYTES": "4MiB"}

    def strike(self, tier: Tier, chance: Random) -> None:
        """Fill the disk until the server complains, and make room again."""
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(_MIB))
        tier.await_pause()
        time.sleep(chance.uniform(0, _MOST_SECONDS))
        self._ballast.unlink()
        tier.await_recovery()

    def close(self) -> None:
        """Unmount the disk."""
        self._disk.remove()


class WriteErrors(OnFaultyDisk):
    """Segments can neither be written nor created."""

    name = "write-errors"
    promise = UNHARMED

    def strike(self, tier: Tier, chance: Random) -> None:
        """Have writes fail for a while, at once or after half of a batch."""
        error = chance.choice((errno.EIO, errno.ENOSPC, errno.EDQUOT))
        torn = chance.randint(0, 3)
        with ExitStack() as stack:
            stack.enter_context(self.disk.rule(WITHIN_WRITE, Action.FAIL, count=torn))
            points = (Point(Call.CREATE), Point(Call.WRITE))
            last(stack.enter_context(self.disk.failing(*points, error=error)), chance)


class SyncErrors(OnFaultyDisk):
    """The kernel reports once that it could not write, and forgets the data."""

    name = "sync-errors"
    promise = UNHARMED

    def strike(self, tier: Tier, chance: Random) -> None:
        """Have some syncs fail, and what they should have saved be zeros from then on."""
        count = chance.randint(1, 4)
        point = Point(Call.FDATASYNC)
        with self.disk.rule(point, Action.LOSE, value=errno.EIO, count=count) as rule:
            wait_until(lambda: rule.hits >= count, RECOVERY_SECONDS)


class SlowSyncs(OnFaultyDisk):
    """The disk takes its time."""

    name = "slow-syncs"
    promise = UNHARMED

    def strike(self, tier: Tier, chance: Random) -> None:
        """Have some syncs take up to a second."""
        point, milliseconds, count = (
            Point(Call.FDATASYNC),
            chance.randint(50, 1000),
            chance.randint(1, 4),
        )
        with self.disk.rule(point, Action.DELAY, value=milliseconds, count=count) as rule:
            wait_until(lambda: rule.hits > count, RECOVERY_SECONDS)


class ReadOnly(OnFaultyDisk):
    """Nothing can be changed on the disk, as on one that was remounted read-only, and back."""

    name = "read-only"
    promise = UNHARMED

    def strike(self, tier: Tier, chance: Random) -> None:
        """Refuse every change for a while."""
        points = [Point(call, pattern="*") for call in Call]
        with self.disk.failing(*points, error=errno.EROFS) as rules:
            last(rules, chance)
