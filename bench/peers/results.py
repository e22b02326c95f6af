"""What the comparison came to; the runs at one position were made in one round."""

from __future__ import annotations

import msgspec

from bench.peers.grounds import Name
from bench.peers.run import PeerRun

OURS = "ingest"


class Entry(msgspec.Struct, frozen=True):
    """All runs of a program on a ground."""

    name: str
    runs: list[PeerRun | None]
    """One for each round; null where the run failed."""
    failures: list[str]
    """What went wrong, in which round."""


class GroundResult(msgspec.Struct, frozen=True):
    """All programs on one ground, ours first."""

    ground: Name
    entries: list[Entry]


class PeersResult(msgspec.Struct, frozen=True):
    """All grounds."""

    versions: dict[str, str]
    """What each program says that it is."""
    absent: dict[str, str]
    """Programs that are not on this machine, and where to get them."""
    grounds: list[GroundResult]

    @property
    def failed(self) -> list[str]:
        """The programs that failed in some round, with their grounds."""
        return [
            f"{entry.name} ({ground.ground})"
            for ground in self.grounds
            for entry in ground.entries
            if entry.failures
        ]
