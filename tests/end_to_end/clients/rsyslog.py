"""rsyslogd with a directory of its own, which reads a socket as it does /dev/log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.clients.programs import daemon, directories, running, wait_for

SOURCE = """\
global(workDirectory="{directory}" localHostname="{host}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{socket}" RateLimit.Interval="0")
"""


@contextmanager
def rsyslog(forwarding: str, host: str, directory: Path) -> Iterator[Path]:
    """Forward what is sent to the socket that is yielded, in the name of that host."""
    socket = directory / "rsyslog.sock"
    configuration = directory / "rsyslog.conf"
    source = SOURCE.format(directory=directory, host=host, socket=socket)
    configuration.write_text(source + forwarding)
    command = [daemon("rsyslogd"), "-n", "-f", str(configuration)]
    command += ["-i", str(directory / "rsyslog.pid")]
    if modules := directories("usr/lib/*-linux-gnu/rsyslog"):
        command += ["-M", modules]
    with running(command, directory / "rsyslog.log") as process:
        wait_for(socket, process)
        yield socket
