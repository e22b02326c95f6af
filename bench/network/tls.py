"""TLS against plain TCP, in rounds, without a pipeline.

What counts is the server's CPU time: the sender encrypts on the same machine, so the rate alone
says little.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bench.network import sides
from bench.network.plan import NetworkPlan
from bench.network.sides import Side
from bench.runs import Load

PIPELINE = "none"
CONNECTIONS = 4

_TITLE = """\
### TLS

JSON events of about 320 bytes over {connections} connections at full speed, plain and with TLS,
pipeline `{pipeline}`.

{table}
"""


class TlsCase(msgspec.Struct, frozen=True, tag_field="case", tag="tls"):
    """Both transports, round by round."""

    sides: list[Side]

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            connections=CONNECTIONS, pipeline=PIPELINE, table=sides.table(self.sides)
        )


def measure(network: NetworkPlan, tell: Callable[[str], None]) -> TlsCase:
    """Measure both."""
    plain = Load(pipeline=PIPELINE, connections=CONNECTIONS, events=network.plan.events)
    encrypted = msgspec.structs.replace(plain, transport="tls")
    return TlsCase(sides.measure(network, {"tcp": plain, "tls": encrypted}, tell))
