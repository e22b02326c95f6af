"""Tenzir: one pipeline in a process of its own, no node."""

from __future__ import annotations

from bench.peers.peer import Peer, Place


def _command(place: Place) -> list[str]:
    return [str(place.program), "--file", str(place.configuration)]


PEER = Peer(
    name="tenzir",
    program="tenzir",
    origin="`pip install tenzir`, or https://docs.tenzir.com",
    command=_command,
    version=("version",),
    slowness={"syslog": 20},
)
