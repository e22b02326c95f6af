"""What a fault is: how it changes the server's surroundings, how it strikes, what is promised.

A fault strikes once per round. It waits for facts until the server has recovered, and never sleeps
to let something happen; pauses between rounds are part of the plan and come from its seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar

import msgspec

from bench.generator import Transport

if TYPE_CHECKING:
    from chaos.tier import Tier


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What has to hold whenever the fault strikes."""

    words: str
    """As the table shows it."""
    loses_undurable: bool = False
    """Whether events that were not yet durable may be lost, if they are counted."""
    breaks_connections: bool = False
    """Whether connections may end."""
    changes_events: bool = False
    """Whether events are stored otherwise than they were sent."""


class Fault(ABC):
    """One kind of fault. A trial makes one of it, for all its rounds."""

    name: ClassVar[str]
    """As on the command line."""
    promise: ClassVar[Promise]
    transport: ClassVar[Transport] = "tcp"
    pipeline: ClassVar[str] = "none"
    """The name of a file in bench/configurations/; one that drops nothing."""
    most_rate: ClassVar[float] = inf
    """Events per second that this transport and pipeline take even while a worker is missing."""
    rounds_per_trial: ClassVar[int] = 25
    """After so many rounds the server is stopped and judged, and another trial begins."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the trial's own; the data are in `data` of it."""
        self.directory = directory

    def environment(self) -> Mapping[str, str]:
        """Return what to add to the server's environment."""
        return {}

    def wrapper(self) -> Sequence[str]:
        """Return the command that runs the server's Python, in place of `python`."""
        return ()

    @abstractmethod
    def strike(self, tier: Tier, chance: Random) -> None:
        """Inject the fault once, and wait until the server has recovered from it."""

    def restore(self) -> None:  # noqa: B027 - most take nothing
        """Give back what it took from the data, after the server has stopped."""

    def close(self) -> None:  # noqa: B027 - most do nothing to it
        """Undo what it did to the machine, at the end of the trial."""


class Unavailable(Exception):  # noqa: N818 - nothing is wrong
    """This machine does not allow the fault; the table says so."""
