"""The wall clock jumps by hours, forwards and backwards, for every process of the server."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from chaos import preload
from chaos.fault import Fault
from chaos.faults.kills import NOTHING_LOST, KillWorker
from tests.harness import wait_until

if TYPE_CHECKING:
    from chaos.tier import Tier

_SOURCE = Path(__file__).parents[1] / "jumping_clock.c"
_CONTROL = struct.Struct("<qQ")
_MOST_SECONDS = 12 * 3600
_ENOUGH_READINGS = 100


class JumpClock(Fault):
    """The wall clock jumps, and now and then a worker has to recover at the new time."""

    name = "jump-clock"
    promise = NOTHING_LOST

    def __init__(self, directory: Path) -> None:
        """Make the control file of the clock."""
        super().__init__(directory)
        self._library = preload.library(_SOURCE)
        self._file = directory / "clock"
        self._file.write_bytes(_CONTROL.pack(0, 0))
        descriptor = os.open(self._file, os.O_RDWR)
        try:
            self._control = mmap.mmap(descriptor, _CONTROL.size)
        finally:
            os.close(descriptor)

    def environment(self) -> Mapping[str, str]:
        """Preload the clock."""
        return {"LD_PRELOAD": str(self._library), "JUMPING_CLOCK": str(self._file)}

    def strike(self, tier: Tier, chance: Random) -> None:
        """Let it jump to another hour, and wait until the server has looked at it many times."""
        offset_seconds = chance.randint(-_MOST_SECONDS, _MOST_SECONDS)
        _CONTROL.pack_into(self._control, 0, offset_seconds, 0)
        wait_until(lambda: _CONTROL.unpack_from(self._control)[1] >= _ENOUGH_READINGS)
        if chance.random() < 0.5:  # noqa: PLR2004 - as often as not
            KillWorker(self.directory).strike(tier, chance)
        tier.await_ready()
