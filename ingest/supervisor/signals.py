"""Signals as a queue: the interpreter notes them in a socket, the one loop reads them there."""

from __future__ import annotations

import select
import signal
import socket
from math import ceil
from types import FrameType, TracebackType
from typing import Self

_READ_BYTES = 4096
_LONGEST_WAIT_SECONDS = 3600.0  # poll takes milliseconds in 32 bits


class SignalQueue:
    """While entered, these signals do nothing but wake `wait`, in the order they came.

    Afterwards they are ignored: a signal more must not kill a server that is already putting its
    things away, and whose exit status is still to be told.
    """

    def __init__(self, *watched: signal.Signals) -> None:
        self._watched = watched
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._writer.fileno())
        for number in self._watched:
            signal.signal(number, _do_nothing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in self._watched:
            # Ignoring SIGCHLD would mean that the kernel throws exit statuses away.
            is_child = number is signal.SIGCHLD
            signal.signal(number, signal.SIG_DFL if is_child else signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def wait(self, timeout: float) -> list[signal.Signals]:
        """Return the signals that came, after `timeout` seconds an empty list."""
        # Rounded up, so that a deadline has really passed when the loop wakes for it.
        if not self._poll.poll(ceil(min(max(timeout, 0.0), _LONGEST_WAIT_SECONDS) * 1000)):
            return []
        return [signal.Signals(number) for number in self._reader.recv(_READ_BYTES)]


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Take the place of the default action; the wake-up descriptor does the rest."""
