"""syslog-ng with a directory of its own, which reads a socket as it does /dev/log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.clients.programs import daemon, directories, running, wait_for

SOURCE = """\
@version: 3.38
options {{ use-dns(no); stats-freq(0); }};
source s_src {{ unix-dgram("{socket}" host-override("{host}")); }};
"""


@contextmanager
def syslog_ng(forwarding: str, host: str, directory: Path) -> Iterator[Path]:
    """Forward what is sent to the socket that is yielded, in the name of that host."""
    socket = directory / "syslog-ng.sock"
    configuration = directory / "syslog-ng.conf"
    source = SOURCE.format(host=host, socket=socket)
    configuration.write_text(source + forwarding.replace("/var/lib/syslog-ng", str(directory)))
    command = [daemon("syslog-ng"), "-F", "--stderr", "--no-caps", "-f", str(configuration)]
    files = {"-R": "persist", "-c": "control", "-p": "pid"}
    for option, name in files.items():
        command += [option, str(directory / f"syslog-ng.{name}")]
    if modules := directories("usr/lib/syslog-ng/*.*/"):
        command += [f"--module-path={modules}"]
    with running(command, directory / "syslog-ng.log") as process:
        wait_for(socket, process)
        yield socket
