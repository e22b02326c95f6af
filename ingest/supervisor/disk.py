"""Watch how much room the data directory has left, and say so in the shared region and the log.

A level that was reached is left only with a quarter more room than it takes to reach it, so that
it does not come and go. Workers look at the cell and stop reading at the reserve.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ingest import logs
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY, DiskPressure

if TYPE_CHECKING:
    from ingest._native import Region
    from ingest.config.models import Journal

_INTERVAL_SECONDS = 1.0
_INTERVAL_UNDER_PRESSURE_SECONDS = 0.1
"""The journals may write hundreds of MiB in a second."""
_DESCRIPTIONS = {
    DiskPressure.NONE: "The disk has room again.",
    DiskPressure.LOW: "The disk is running out of room.",
    DiskPressure.RESERVE: "Only the reserve of the disk is left; senders wait.",
}

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on a file system, and how little may be."""

    free_bytes: int
    low_water_bytes: int
    reserve_bytes: int

    def pressure(self, before: DiskPressure) -> DiskPressure:
        """Return the level, given the one before."""
        for level, mark in (
            (DiskPressure.RESERVE, self.reserve_bytes),
            (DiskPressure.LOW, self.low_water_bytes),
        ):
            if self.free_bytes < (mark * 5 // 4 if before >= level else mark):
                return level
        return DiskPressure.NONE


class _FileSystem(NamedTuple):
    pressure: DiskPressure
    room: Room


class DiskWatch:
    """Looks at the file systems below a data directory."""

    def __init__(self, region: Region, data_dir: Path) -> None:
        self._region = region
        self._data_dir = data_dir
        self._found: dict[Path, _FileSystem] = {}
        self._pressure = DiskPressure.NONE
        self._unreadable: set[Path] = set()
        self._look_at = 0.0

    def wake_at(self) -> float:
        """Return when `tend` has to be called again."""
        return self._look_at

    def tend(self, now: float, settings: Journal) -> None:
        """Look, if it is time."""
        if now < self._look_at:
            return
        self._look(settings)
        calm = self._pressure is DiskPressure.NONE
        self._look_at = now + (_INTERVAL_SECONDS if calm else _INTERVAL_UNDER_PRESSURE_SECONDS)

    def _look(self, settings: Journal) -> None:
        # Each may be a file system of its own; those of the journals are made by the workers.
        places = [self._data_dir / name for name in ("", JOURNAL_DIRECTORY, DEAD_DIRECTORY)]
        found = [at for place in places if (at := self._measure(place, settings))]
        if not found:
            return
        pressure, room = max(found, key=lambda at: (at.pressure, -at.room.free_bytes))
        for cell, value in (
            ("ingest_disk_free_bytes", room.free_bytes),
            ("ingest_disk_low_water_bytes", room.low_water_bytes),
            ("ingest_disk_reserve_bytes", room.reserve_bytes),
            ("ingest_disk_pressure", pressure),
        ):
            self._region.set(None, cell, value)
        if pressure is not self._pressure:
            self._report(pressure, room)
            self._pressure = pressure

    def _measure(self, place: Path, settings: Journal) -> _FileSystem | None:
        try:
            found = os.statvfs(place)
        except FileNotFoundError:
            self._found.pop(place, None)
            return None
        except OSError as error:
            self._report_unreadable(place, error)
            return self._found.get(place)
        self._unreadable.discard(place)
        size = found.f_blocks * found.f_frsize
        reserve = settings.reserve.of(size)
        room = Room(
            # What those may use who are not root: the rest is a reserve of the file system.
            free_bytes=found.f_bavail * found.f_frsize,
            low_water_bytes=max(settings.low_water.of(size), reserve),
            reserve_bytes=reserve,
        )
        before = self._found.get(place)
        pressure = room.pressure(DiskPressure.NONE if before is None else before.pressure)
        self._found[place] = _FileSystem(pressure, room)
        return self._found[place]

    def _report(self, pressure: DiskPressure, room: Room) -> None:
        log = {DiskPressure.NONE: _log.info, DiskPressure.LOW: _log.warning}.get(
            pressure, _log.error
        )
        log(
            _DESCRIPTIONS[pressure],
            data_dir=str(self._data_dir),
            free_bytes=room.free_bytes,
            low_water_bytes=room.low_water_bytes,
            reserve_bytes=room.reserve_bytes,
        )

    def _report_unreadable(self, place: Path, error: OSError) -> None:
        if place not in self._unreadable:
            _log.error("Nobody can say what is free.", path=str(place), reason=error.strerror)
        self._unreadable.add(place)
