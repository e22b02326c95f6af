"""HAProxy in front of listeners, on a port that it inherits."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.clients.documented import block
from tests.end_to_end.clients.programs import daemon, running
from tests.end_to_end.clients.site import BALANCER

Address = tuple[str, int]


@contextmanager
def haproxy(
    servers: Sequence[Address],
    directory: Path,
    *,
    header: str = "send-proxy-v2",
    check: str = "check",
) -> Iterator[Address]:
    """Spread connections to the address that is yielded over two servers."""
    documented_options = "check send-proxy-v2"
    text = block("haproxy.cfg")
    assert documented_options in text
    text = text.replace(documented_options, f"{check} {header} source {BALANCER}")
    for documented, (host, port) in zip(("10.0.0.11", "10.0.0.12"), servers, strict=True):
        assert f"{documented}:5144" in text
        text = text.replace(f"{documented}:5144", f"{host}:{port}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Connections wait in the queue of this socket until HAProxy has started.
        descriptor = listener.fileno()
        configuration = directory / "haproxy.cfg"
        configuration.write_text(text.replace("bind :5140", f"bind fd@{descriptor}"))
        command = [daemon("haproxy"), "-db", "-f", str(configuration)]
        with running(command, directory / "haproxy.log", [descriptor]):
            yield listener.getsockname()
