"""Bind the sockets of the server: one per listener and worker slot, all on one address.

The supervisor keeps its copy of each socket open, so what the kernel has queued survives the
death of a worker. Streams are bound but do not listen: a worker calls `listen` when it is
ready, and only then does the kernel send it connections. Nothing here reads or accepts.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

from ingest.contract import ListenerKind
from ingest.errors import BootError
from ingest.sockets import datagrams
from ingest.sockets.unix import SocketFile, bind_unix

_ADMIN_BACKLOG = 128
_KEEP_ALIVE = {
    socket.TCP_KEEPIDLE: 60,
    socket.TCP_KEEPINTVL: 15,
    socket.TCP_KEEPCNT: 4,
}
"""A peer that vanished is found after two minutes; the default of Linux is two hours."""

_SOCKET_TYPES = {
    "tcp": socket.SOCK_STREAM,
    "tls": socket.SOCK_STREAM,
    "udp": socket.SOCK_DGRAM,
    "unix_stream": socket.SOCK_STREAM,
    "unix_datagram": socket.SOCK_DGRAM,
}

_SocketAddress = tuple[str, int] | tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class SocketGroup:
    """The sockets of one listener; slot k always has the socket k."""

    kind: ListenerKind
    address: str
    """Where they are bound, as `host:port` with the port that was really taken, or the path."""
    sockets: tuple[socket.socket, ...]
    file: SocketFile | None = None
    """Of a Unix socket that has one."""

    def close(self) -> None:
        """Give every slot up; the kernel drops a queue that no worker holds open either."""
        for bound in self.sockets:
            bound.close()
        if self.file is not None:
            self.file.remove()


def bind_group(
    kind: ListenerKind,
    address: str,
    slots: int,
    *,
    receive_buffer_bytes: int,
    gro: bool = False,
    mode: int = 0o660,
) -> SocketGroup:
    """Bind the sockets of one listener, as `address` is of its kind.

    That is `host:port`, where port 0 takes one free port for all, or a path or `@NAME`.
    `receive_buffer_bytes` and `gro` are for UDP; where the kernel grants less, that is logged.
    `mode` is that of the file of a Unix socket. Raises BootError where the address cannot be had.
    """
    with _clear_refusal(kind, address):
        if kind in {"unix_stream", "unix_datagram"}:
            return _bind_unix_group(kind, address, slots, mode)
        return _bind_internet_group(kind, address, slots, receive_buffer_bytes, gro=gro)


def _bind_unix_group(kind: ListenerKind, address: str, slots: int, mode: int) -> SocketGroup:
    first, file = bind_unix(_SOCKET_TYPES[kind], address, mode)
    # Nothing could tell several sockets at one path apart: they share one queue.
    sockets = (first, *(first.dup() for _ in range(slots - 1)))
    return SocketGroup(kind, address, sockets, file)


def _bind_internet_group(
    kind: ListenerKind, address: str, slots: int, receive_buffer_bytes: int, *, gro: bool
) -> SocketGroup:
    with ExitStack() as opened:
        family, place = _resolve(kind, address)
        _check_free(kind, family, place)
        sockets = []
        for _ in range(slots):
            bound = opened.enter_context(_open(kind, family))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(place)
            place = bound.getsockname()  # with port 0, the others follow the first
            sockets.append(bound)
        if kind == "udp":
            datagrams.spread_at_random(sockets)
            datagrams.enlarge_buffers(sockets, address, receive_buffer_bytes)
            if gro:
                datagrams.take_bundles(sockets, address)
        opened.pop_all()
    return SocketGroup(kind, _format_address(place), tuple(sockets))


def listen_on(address: str) -> tuple[socket.socket, str]:
    """Return one listening TCP socket for the admin role and where it is bound."""
    with _clear_refusal("tcp", address), ExitStack() as opened:
        family, place = _resolve("tcp", address)
        bound = opened.enter_context(_open("tcp", family))
        bound.bind(place)
        bound.listen(_ADMIN_BACKLOG)
        opened.pop_all()
    return bound, _format_address(bound.getsockname())


@contextmanager
def _clear_refusal(kind: ListenerKind, address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:  # the latter for a host name that cannot be one
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        words = kind.replace("_", " ")
        raise BootError(f"cannot listen on {words} {address}: {reason}") from error


def _resolve(kind: ListenerKind, address: str) -> tuple[socket.AddressFamily, _SocketAddress]:
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=_SOCKET_TYPES[kind])
    family, _, _, _, place = found[0]
    return family, cast("_SocketAddress", place)


def _open(kind: ListenerKind, family: socket.AddressFamily) -> socket.socket:
    """Return a socket with the options that have to be set before it is bound."""
    opened = socket.socket(family, _SOCKET_TYPES[kind])
    if family == socket.AF_INET6:
        # A listener is the address it names and no other, so that [::] can stand beside 0.0.0.0.
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if opened.type == socket.SOCK_STREAM:
        # Connections of the server before us may still linger in TIME_WAIT.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: a peer that vanished does not hold its place for ever.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE.items():
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
    return opened


def _check_free(kind: ListenerKind, family: socket.AddressFamily, place: _SocketAddress) -> None:
    """Raise OSError if anyone has the address.

    SO_REUSEPORT alone would let us in beside another server of the same user and share its
    traffic, so a socket without it has to be able to bind first.
    """
    with _open(kind, family) as probe:
        probe.bind(place)


def _format_address(place: _SocketAddress) -> str:
    host, port = place[0], place[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
