"""What a case came to: the member `matrix` of results.json is a list of these.

Medians are left to the reader. The runs at one position, of whatever case, were made in the same
round; so a ratio of two cases is the median of their ratios round by round.
"""

from __future__ import annotations

import msgspec

from bench.distribution import Distribution
from bench.matrix import Group
from bench.parameters import Parameters
from bench.runs import Run


class Latency(msgspec.Struct, frozen=True):
    """How long events took from being sent to being durable, at a constant rate."""

    events_per_second: float
    """Half of what the run of the same round came to."""
    milliseconds: Distribution


class CaseResult(msgspec.Struct, frozen=True):
    """All that was measured of a case."""

    name: str
    group: Group
    compared_to: str | None
    """The name of the case that its ratios are to."""
    parameters: Parameters
    runs: list[Run | None]
    """One for each round; null where the run failed."""
    latency: list[Latency | None]
    """One for each round; null where it could not be measured."""
    failures: list[str]
    """What went wrong, in which round; empty in a result that may be cited."""

    @property
    def completed(self) -> list[Run]:
        """The runs that did not fail."""
        return [run for run in self.runs if run is not None]

    @property
    def latencies(self) -> list[Latency]:
        """Those that could be measured."""
        return [each for each in self.latency if each is not None]
