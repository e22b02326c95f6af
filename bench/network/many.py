"""Many connections that each send little against few that send the same in all, in rounds.

Without a pipeline. Every connection sends a few events at a time, the few more often.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bench.network import sides
from bench.network.plan import NetworkPlan
from bench.network.sides import Side
from bench.runs import Load

PIPELINE = "none"
FEW, MANY = 64, 5_000
RATE = MANY * 200.0

_TITLE = """\
### Many connections

JSON events of about 320 bytes at {rate:,.0f} events/s in all, at most {burst} at a time from each
connection in turn, pipeline `{pipeline}`.

{table}
"""


class ManyCase(msgspec.Struct, frozen=True, tag_field="case", tag="many"):
    """Both numbers of connections, round by round."""

    rate: float
    burst: int
    sides: list[Side]

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            rate=self.rate, burst=self.burst, pipeline=PIPELINE, table=sides.table(self.sides)
        )


def measure(network: NetworkPlan, tell: Callable[[str], None]) -> ManyCase:
    """Measure both."""
    rate = network.rate or RATE
    few = Load(
        pipeline=PIPELINE,
        connections=FEW,
        events=network.events(rate),
        rate=rate,
        burst=network.burst,
    )
    many = msgspec.structs.replace(few, connections=MANY)
    loads = {f"{each.connections:,} connections": each for each in (few, many)}
    return ManyCase(rate, network.burst, sides.measure(network, loads, tell))
