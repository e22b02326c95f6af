"""Senders that note what they sent, so that what is stored can be held against it."""

from __future__ import annotations

import itertools
import socket
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests import stored
from tests.harness import PATIENCE_SECONDS, Server

_LINES_PER_WRITE = 50
_WRITES_PER_CONNECTION = 20
_PAUSE_SECONDS = 0.002
"""Between two writes of a sender: a steady stream that leaves the machine to the server."""
_BAD_EVERY = 10
"""One of so many lines is no event."""


class Numbered(msgspec.Struct):
    """What every event of these tests says: where it came from and which one it was."""

    connection: int
    number: int


def numbered_lines(connection: int, first: int, count: int) -> list[bytes]:
    """Return events of one connection, numbered on from `first`."""
    return [
        b'{"connection":%d,"number":%d,"message":"under load"}' % (connection, number)
        for number in range(first, first + count)
    ]


def numbers_by_connection(lines: list[bytes]) -> dict[int, list[int]]:
    """Return the numbers of the events of each connection, in the order of the lines."""
    found: dict[int, list[int]] = defaultdict(list)
    decoder = msgspec.json.Decoder(Numbered)
    for event in map(decoder.decode, lines):
        found[event.connection].append(event.number)
    return found


class Load:
    """Threads that send over one connection after the other until they are stopped.

    A connection that breaks is given up; the next one begins. Some of the lines are no events.
    """

    def __init__(self, server: Server, senders: int = 4, *, first_connection: int = 0) -> None:
        self._address = server.address("tcp")
        self._names = itertools.count(first_connection)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]
        self.handed_over: dict[int, int] = {}
        """How many lines of each connection the kernel may have taken."""
        self.refused = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every sender close its connection, and wait until it has."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stopped.is_set():
            try:
                with socket.create_connection(self._address, PATIENCE_SECONDS) as connection:
                    name = next(self._names)
                    for write in range(_WRITES_PER_CONNECTION):
                        if self._stopped.wait(_PAUSE_SECONDS):
                            return
                        first = write * _LINES_PER_WRITE
                        lines = numbered_lines(name, first, _LINES_PER_WRITE)
                        lines[::_BAD_EVERY] = [line[:-1] for line in lines[::_BAD_EVERY]]
                        self.handed_over[name] = first + _LINES_PER_WRITE
                        connection.sendall(b"\n".join([*lines, b""]))
            except ConnectionRefusedError:
                self.refused += 1
                self._stopped.wait(_PAUSE_SECONDS)
            except OSError:
                continue

    def assert_stored(self, data_dir: Path, journaled: int, dead_lettered: int) -> None:
        """Fail unless the journals hold exactly that, each line once and none of them damaged.

        Of each connection a beginning is stored, without a gap and in order: what a worker lost
        is the newest that it had received, and nobody goes on with a connection of the dead.
        """
        events = numbers_by_connection(stored.events(data_dir))
        letters = stored.dead_letters(data_dir)
        assert {letter.reason for letter in letters} <= {"invalid_json"}
        bad = numbers_by_connection([letter.line + b"}" for letter in letters])
        assert sum(map(len, events.values())) == journaled
        assert sum(map(len, bad.values())) == dead_lettered
        for found, is_bad in ((events, False), (bad, True)):
            for connection, numbers in found.items():
                sent = range(self.handed_over[connection])
                wanted = [number for number in sent if (number % _BAD_EVERY == 0) is is_bad]
                assert numbers == wanted[: len(numbers)]
        stored.assert_verified(data_dir)


class Datagrams:
    """A thread that sends datagrams as fast as it can until it is stopped."""

    def __init__(self, server: Server) -> None:
        self._address = server.address("udp")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self._stopped.is_set():
                sender.sendto(b'{"message":"without end"}', self._address)
