"""The machine dies, or its file system: what was called durable is there."""

from __future__ import annotations

from contextlib import ExitStack
from errno import EIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from chaos import damage
from chaos.fault import Fault, Promise
from chaos.faults import faulty
from chaos.faults.faulty import SMALL_SEGMENTS, OnFaultyDisk
from chaos.faulty_disk import Action, Call, Point, When
from chaos.mounts import Ext4
from chaos.tier import RECOVERY_SECONDS
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.tier import Tier

_IMAGE_BYTES = 2 * 1024**3
_MOST_SKIPPED = 8
_AFTER_SYNC_ERROR = (Point(Call.TRUNCATE), Point(Call.TRUNCATE, When.AFTER), Point(Call.FSYNC))
"""Only then does a running server cut a segment back."""
_POINTS = (
    *faulty.BEFORE_SYNC,
    *faulty.AFTER_SYNC,
    faulty.WITHIN_WRITE,
    *faulty.ROTATION,
    Point(Call.WRITE, When.AFTER),
    *faulty.SEALING,
    *faulty.RECOMPRESSION,
    *_AFTER_SYNC_ERROR,
)

POWERLESS = Promise(
    words="nothing durable is lost; the rest is bounded by the sync interval",
    loses_undurable=True,
    breaks_connections=True,
)


class PowerCut(OnFaultyDisk):
    """All processes die at a named point; of what was not synced, files hold what chance leaves."""

    name = "power-cut"
    promise = POWERLESS
    rounds_per_trial = 10

    def strike(self, tier: Tier, chance: Random) -> None:
        """Hold a worker at a point, kill all, cut the power, and start again."""
        with ExitStack() as rules:
            point, skipped = chance.choice(_POINTS), chance.randrange(_MOST_SKIPPED)
            if point in _AFTER_SYNC_ERROR:
                lose = self.disk.rule(Point(Call.FDATASYNC), Action.LOSE, value=EIO, first=skipped)
                rules.enter_context(lose)
                skipped = 0
            held = rules.enter_context(self.disk.rule(point, Action.HOLD, first=skipped))
            wait_until(lambda: held.process, RECOVERY_SECONDS)
            tier.kill_tree(chance, aftermath=lambda: self.cut_power(tier.data_dir, chance))
        tier.start()

    def cut_power(self, data_dir: Path, chance: Random) -> None:
        """Do to the files what a power cut may do to them."""
        damage.cut_power(data_dir, self.disk.remains(), chance)


class KillAfterSyncError(PowerCut):
    """Processes die after a failed sync, others find the batches, and then the power is cut.

    Linux keeps what it could not write as if it had: it can be read until the memory is needed.
    """

    name = "kill-after-sync-error"

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill a worker, or all, before it cuts back what was not synced, and later all."""
        error = self.disk.rule(Point(Call.FDATASYNC), Action.FAIL, value=EIO)
        with error, self.disk.rule(Point(Call.TRUNCATE), Action.HOLD) as held:
            wait_until(lambda: held.process, RECOVERY_SECONDS)
            if chance.choice((True, False)):
                tier.kill(held.process)
                tier.await_gone(held.process)
            else:
                tier.kill_tree(chance)
        if tier.server.exited():
            tier.start()
        tier.await_recovery()
        tier.await_intake()
        tier.kill_tree(chance, aftermath=lambda: self.cut_power(tier.data_dir, chance))
        tier.start()


class OnExt4(Fault):
    """A fault of a real file system with a log."""

    rounds_per_trial = 5

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.disk = Ext4(directory / "image", directory / "data", _IMAGE_BYTES)

    def environment(self) -> Mapping[str, str]:
        """Have segments small, so that they change often."""
        return SMALL_SEGMENTS

    def close(self) -> None:
        """Unmount the file system."""
        self.disk.remove()


class PowerCutExt4(OnExt4):
    """All processes die and ext4 is shut down without its log: it forgets what was not synced."""

    name = "power-cut-ext4"
    promise = POWERLESS

    def strike(self, tier: Tier, chance: Random) -> None:
        """Kill all, cut the power, mount the disk again and start."""
        tier.kill_tree(chance, aftermath=self._cut_power)
        tier.start()

    def _cut_power(self) -> None:
        self.disk.cut_power()
        self.disk.mount_again()


class ReadOnlyExt4(OnExt4):
    """The kernel finds an error in ext4 and remounts it read-only, until it is mounted again."""

    name = "read-only-ext4"
    promise = Promise(
        words="senders wait; with the stop that a new mount takes, the rest is counted",
        loses_undurable=True,
        breaks_connections=True,
    )

    def environment(self) -> Mapping[str, str]:
        """Have queues fill quickly, and the stop not wait long for a disk that stays as it is."""
        return {
            **super().environment(),
            "INGEST_JOURNAL__QUEUE_BYTES": "4MiB",
            "INGEST_SUPERVISION__DRAIN_TIMEOUT": "1s",
        }

    def strike(self, tier: Tier, chance: Random) -> None:
        """Let the disk become read-only, stop the server, mount the disk again and start.

        The workers stand still meanwhile: Linux lets an fdatasync succeed that is under way in this
        moment, and writes nothing.
        """
        with tier.standing_still():
            self.disk.become_read_only()
        tier.await_pause()
        tier.stop(aftermath=self.disk.mount_again)
        tier.start()
