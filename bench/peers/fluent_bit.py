"""Fluent Bit: two inputs on one port, each in a thread of its own."""

from __future__ import annotations

from bench.peers.peer import Peer, Place


def _command(place: Place) -> list[str]:
    return [str(place.program), "--quiet", "--config", str(place.configuration)]


PEER = Peer(
    name="fluent-bit",
    program="fluent-bit",
    origin="https://docs.fluentbit.io",
    command=_command,
)
