"""rsyslog: threads of imptcp that do the whole job, without a queue between."""

from __future__ import annotations

import signal

from bench.peers.peer import Peer, Place, unpacked


def _command(place: Place) -> list[str]:
    command = [str(place.program), "-n", "-f", str(place.configuration)]
    command += ["-i", str(place.directory / "rsyslog.pid")]
    if modules := unpacked("usr/lib/*-linux-gnu/rsyslog"):
        command += ["-M", modules]
    return command


PEER = Peer(
    name="rsyslog",
    program="rsyslogd",
    origin="`make clients`",
    command=_command,
    version=("-v",),
    flush_signal=signal.SIGHUP,
)
