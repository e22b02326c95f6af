"""syslog-ng: a thread for each connection does all but the writing."""

from __future__ import annotations

from bench.peers.peer import Peer, Place, unpacked

_THREADS = 4


def _command(place: Place) -> list[str]:
    command = [str(place.program), "-F", "--stderr", "--no-caps", f"--worker-threads={_THREADS}"]
    command += ["-f", str(place.configuration)]
    files = {"-R": "persist", "-c": "control", "-p": "pid"}
    for option, name in files.items():
        command += [option, str(place.directory / f"syslog-ng.{name}")]
    if modules := unpacked("usr/lib/syslog-ng/*.*/"):
        command.append(f"--module-path={modules}")
    return command


PEER = Peer(name="syslog-ng", program="syslog-ng", origin="`make clients`", command=_command)
