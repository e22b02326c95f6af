"""The peers that are programs, by name."""

from __future__ import annotations

from bench.peers import fluent_bit, rsyslog, syslog_ng, tenzir, vector

PEERS = {
    peer.name: peer
    for peer in (rsyslog.PEER, syslog_ng.PEER, fluent_bit.PEER, vector.PEER, tenzir.PEER)
}
