"""Bind the sockets of the server: one per listener and worker slot, all on one address.

The supervisor keeps its copy of each socket open, so what the kernel has queued survives the
death of a worker. TCP sockets are bound but do not listen: a worker calls `listen` when it is
ready, and only then does the kernel send it connections. Nothing here reads or accepts.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass
from typing import cast

from ingest import logs
from ingest.contract import ListenerKind
from ingest.errors import BootError

# Linux constants that the socket module does not name (asm-generic/socket.h).
_SO_RCVBUFFORCE = 33
_SO_ATTACH_REUSEPORT_CBPF = 51

_ADMIN_BACKLOG = 128

# struct sock_filter (linux/filter.h): operation, jump if true, jump if false, operand.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_RANDOM = _INSTRUCTION.pack(0x20, 0, 0, 0xFFFF_F000 + 56)  # ld [SKF_AD_OFF + SKF_AD_RANDOM]
_MODULO = 0x94
_RETURN = _INSTRUCTION.pack(0x16, 0, 0, 0)  # ret a

_SOCKET_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

_SocketAddress = tuple[str, int] | tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class SocketGroup:
    """The sockets of one listener; slot k always has the socket k."""

    kind: ListenerKind
    address: str
    """Where they are bound, as `host:port` with the port that was really taken."""
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Give every slot up; the kernel drops a queue that no worker holds open either."""
        for bound in self.sockets:
            bound.close()


def bind_group(
    kind: ListenerKind, address: str, slots: int, *, receive_buffer_bytes: int
) -> SocketGroup:
    """Bind one socket per slot to `address` (`host:port`; port 0 takes one free port for all).

    `receive_buffer_bytes` is for UDP; the kernel may grant less, which is logged. Raises BootError
    where the address cannot be had.
    """
    with _clear_refusal(kind, address), ExitStack() as opened:
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
            _spread_at_random(sockets)
            _enlarge_buffers(sockets, address, receive_buffer_bytes)
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
        raise BootError(f"cannot listen on {kind} {address}: {reason}") from error


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
    if kind == "tcp":
        # Connections of the server before us may still linger in TIME_WAIT.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: a peer that vanished does not hold its place for ever.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return opened


def _check_free(kind: ListenerKind, family: socket.AddressFamily, place: _SocketAddress) -> None:
    """Raise OSError if anyone has the address.

    SO_REUSEPORT alone would let us in beside another server of the same user and share its
    traffic, so a socket without it has to be able to bind first.
    """
    with _open(kind, family) as probe:
        probe.bind(place)


def _spread_at_random(group: Sequence[socket.socket]) -> None:
    """Let the kernel give each datagram to a socket of the group at random.

    Its own choice is a hash of the addresses: one sender would keep one worker busy. The program
    belongs to the whole group and its result is the place in the order of binding.
    """
    modulo = _INSTRUCTION.pack(_MODULO, 0, 0, len(group))
    program = create_string_buffer(_LOAD_RANDOM + modulo + _RETURN)
    header = struct.pack("@HP", 3, addressof(program))  # struct sock_fprog
    group[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)


def _enlarge_buffers(group: Sequence[socket.socket], address: str, wanted_bytes: int) -> None:
    for bound in group:
        try:
            bound.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted_bytes)
        except PermissionError:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    # The kernel doubles what it is asked for, to have room for its own bookkeeping.
    granted_bytes = group[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted_bytes < wanted_bytes:
        logs.get_logger(__name__).warning(
            "The kernel grants a smaller UDP receive buffer than asked for; raise"
            " net.core.rmem_max, or datagrams are dropped sooner.",
            address=address,
            wanted_bytes=wanted_bytes,
            granted_bytes=granted_bytes,
        )


def _format_address(place: _SocketAddress) -> str:
    host, port = place[0], place[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
