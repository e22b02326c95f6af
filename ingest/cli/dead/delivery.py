"""Send frames over one connection, and find out from the server's counters what became of them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from enum import Enum, auto

from ingest.cli.dead.destinations import Destination
from ingest.cli.dead.watching import Watch, wait

_PATIENCE_SECONDS = 30.0
"""When nothing has happened for so long, nothing more is expected."""
_REFUSAL_SECONDS = 2.0
_POLL_SECONDS = 0.02
_PIECE_BYTES = 65_536
_ENDED = {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}
"""What a connection says that the other side has ended."""


class Outcome(Enum):
    """What became of frames that were sent together."""

    TAKEN = auto()
    """Read to the last; by another server, as far as it can be seen from here."""
    REFUSED = auto()
    """Not one of them was read."""
    UNKNOWN = auto()
    """Some may have been read, or all."""


def deliver(frames: Sequence[bytes], destination: Destination, watch: Watch | None) -> Outcome:
    """Send frames over a connection of their own, and wait until they are stored.

    `watch` is on the destination; None: it is a listener of another server. Raises SendError where
    it cannot connect, and has sent nothing then.
    """
    before = None if watch is None else watch.counts()
    send = _send_all if destination.is_stream else _send_each
    with destination.connect() as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            is_sent = send(connection, frames, watch)
            is_ended = is_sent and destination.is_stream
        except OSError as error:
            is_sent, is_ended = False, error.errno in _ENDED
    if watch is None or before is None:
        return Outcome.TAKEN if is_sent else Outcome.UNKNOWN
    if not is_sent:  # a refusal is counted after the connection was closed
        wait(lambda: watch.counts() != before, _REFUSAL_SECONDS, None)
    is_settled = watch.wait_settled(_PATIENCE_SECONDS)
    after = watch.counts()
    count = after.all_received - before.all_received
    # Where the server still has the connection, the one refused was somebody else's.
    if is_ended and after.refused > before.refused and count == 0:
        return Outcome.REFUSED
    # Datagrams of others look like these, and may have been read in their place.
    is_all = count >= len(frames) if destination.is_stream else count == len(frames)
    is_safe = is_sent and is_settled and after.failures == before.failures
    return Outcome.TAKEN if is_safe and is_all else Outcome.UNKNOWN


def _send_all(connection: socket.socket, frames: Sequence[bytes], watch: Watch | None) -> bool:
    """Send to a stream; the server, which reads to the end, ends its side then."""
    rest = memoryview(b"".join(frames))
    while rest:
        rest = rest[connection.send(rest[:_PIECE_BYTES]) :]
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_POLL_SECONDS)

    def is_closed() -> bool:
        try:
            return not connection.recv(4096)
        except TimeoutError:
            return False

    return wait(is_closed, _PATIENCE_SECONDS, watch)


def _send_each(connection: socket.socket, frames: Sequence[bytes], watch: Watch | None) -> bool:
    """Send datagrams; those that the kernel has dropped will not be read."""
    if watch is None:
        return False
    before = watch.counts()
    for frame in frames:
        connection.send(frame)

    def is_read() -> bool:
        now = watch.counts()
        gone = now.failures - before.failures
        return now.all_received + gone >= before.all_received + len(frames)

    return wait(is_read, _PATIENCE_SECONDS, watch)
