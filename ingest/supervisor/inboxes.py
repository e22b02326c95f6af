"""The inboxes of the workers: through them connections go from one worker to another.

The supervisor keeps both ends of each open, so a connection that is on its way when a worker dies
waits for the successor.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from contextlib import ExitStack

_SO_SNDBUFFORCE = 32  # asm-generic/socket.h; the socket module does not name it
_SEND_BUFFER_BYTES = 8 * 1024 * 1024
"""For some thousand connections, while a worker starts; with fewer a sender keeps its own."""


class Inbox(NamedTuple):
    """The two ends of the inbox of one slot."""

    reader: socket.socket
    writer: socket.socket


def create(slots: int, stack: ExitStack) -> tuple[Inbox, ...]:
    """Return an inbox for every slot; they are closed with the stack."""
    return tuple(_create_one(stack) for _ in range(slots))


def _create_one(stack: ExitStack) -> Inbox:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stack.callback(reader.close)
    stack.callback(writer.close)
    try:
        writer.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER_BYTES)
    except PermissionError:
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return Inbox(reader, writer)
