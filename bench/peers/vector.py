"""Vector: its runtime has a thread for each core and runs transforms side by side."""

from __future__ import annotations

from bench.peers.peer import Peer, Place


def _command(place: Place) -> list[str]:
    return [str(place.program), "--quiet", "--config", str(place.configuration)]


PEER = Peer(name="vector", program="vector", origin="https://vector.dev", command=_command)
