"""Carry lines to a server over one TCP connection or as UDP datagrams."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Protocol

from ingest.errors import SendError

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 10.0
_LARGEST_DATAGRAM = 65_507


class Transport(Protocol):
    """A way to a server."""

    def send(self, lines: Sequence[bytes]) -> None:
        """Hand the lines to the kernel; wait where it has no room."""

    def finish(self) -> None:
        """Make sure that what was handed over is on its way."""


class Tcp:
    """One connection; every line is ended by a newline."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def send(self, lines: Sequence[bytes]) -> None:
        """Write the lines; a server that does not read makes this wait."""
        self._socket.sendall(b"\n".join((*lines, b"")))

    def finish(self) -> None:
        """End our side and wait until the server, which reads to the end, ends its own."""
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(_CLOSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            while self._socket.recv(4096):
                pass


class Udp:
    """One datagram for each line."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def send(self, lines: Sequence[bytes]) -> None:
        """Send the lines; nobody says whether they arrive."""
        send = self._socket.send
        for line in lines:
            send(line)

    def finish(self) -> None:
        """Do nothing: a datagram has left when it was sent."""


@contextlib.contextmanager
def connect(kind: str, host: str, port: int) -> Iterator[Transport]:
    """Yield a transport; raise SendError, with one line, for whatever the network refuses."""
    place = f"{kind} {host}:{port}"
    try:
        if kind == "tcp":
            with socket.create_connection((host, port), _CONNECT_SECONDS) as connected:
                connected.settimeout(None)
                yield Tcp(connected)
        else:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as connected:
                connected.connect(address)
                yield Udp(connected)
    except ConnectionRefusedError:
        raise SendError(f"nobody listens on {place}; is the server running?") from None
    except (ConnectionResetError, BrokenPipeError):
        raise SendError(f"the server on {place} closed the connection") from None
    except TimeoutError:
        raise SendError(f"{place} does not answer") from None
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            raise SendError(
                f"a line is longer than a datagram can be, {_LARGEST_DATAGRAM:,} bytes; use --tcp"
            ) from None
        raise SendError(f"cannot send to {place}: {error.strerror}") from None
    except UnicodeError:
        raise SendError(f"{host} cannot be the name of a host") from None
