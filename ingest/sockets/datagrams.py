"""What makes UDP sockets lose less: spread over the slots, with large buffers, in bundles."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from ctypes import addressof, create_string_buffer

from ingest import logs

# Linux constants that the socket module does not name (asm-generic/socket.h, linux/udp.h).
_SO_RCVBUFFORCE = 33
_SO_ATTACH_REUSEPORT_CBPF = 51
_UDP_GRO = 104

# struct sock_filter (linux/filter.h): operation, jump if true, jump if false, operand.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_RANDOM = _INSTRUCTION.pack(0x20, 0, 0, 0xFFFF_F000 + 56)  # ld [SKF_AD_OFF + SKF_AD_RANDOM]
_MODULO = 0x94
_RETURN = _INSTRUCTION.pack(0x16, 0, 0, 0)  # ret a


def spread_at_random(group: Sequence[socket.socket]) -> None:
    """Let the kernel give each datagram to a socket of the group at random.

    Its own choice is a hash of the addresses: one sender would keep one worker busy. The program
    belongs to the whole group and its result is the place in the order of binding.
    """
    modulo = _INSTRUCTION.pack(_MODULO, 0, 0, len(group))
    program = create_string_buffer(_LOAD_RANDOM + modulo + _RETURN)
    header = struct.pack("@HP", 3, addressof(program))  # struct sock_fprog
    group[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)


def enlarge_buffers(group: Sequence[socket.socket], address: str, wanted_bytes: int) -> None:
    """Have the kernel hold more; where it grants less than asked for, the log says so."""
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


def take_bundles(group: Sequence[socket.socket], address: str) -> None:
    """Have the kernel hand over datagrams of one sender together (Linux 5.0 and later)."""
    for bound in group:
        try:
            bound.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        except OSError as error:
            logs.get_logger(__name__).warning(
                "The kernel does not bundle UDP datagrams; they are taken one by one.",
                address=address,
                reason=error.strerror,
            )
            return
