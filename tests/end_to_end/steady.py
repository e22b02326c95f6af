"""Connections that send without a pause and are never opened anew."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import stored
from tests.end_to_end.load import numbered_lines, numbers_by_connection
from tests.harness import PATIENCE_SECONDS

_LINES_PER_WRITE = 10
_PAUSE_SECONDS = 0.01
_TORN_BYTES = 20
"""A write ends so far in a line, so that incomplete frames are the rule."""


class SteadySenders:
    """Threads with one connection each; `errors` says what has happened to those that broke."""

    def __init__(self, address: tuple[str, int], connections: int = 8) -> None:
        self._stopped = threading.Event()
        self._sent = [0] * connections
        self._threads = [
            threading.Thread(target=self._send, args=(address, name)) for name in range(connections)
        ]
        self.errors: list[OSError] = []

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

    @property
    def sent(self) -> int:
        """How many lines have been sent over all connections."""
        return sum(self._sent)

    def have_sent(self, lines: int) -> bool:
        """Say whether it is that many, or will never be."""
        return self.sent >= lines or bool(self.errors)

    def stop(self) -> None:
        """Let every connection end with a whole line, and wait until it has."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def assert_stored(self, data_dir: Path) -> None:
        """Fail unless each line is stored once, and in every shard a connection keeps its order."""
        found: dict[int, list[int]] = defaultdict(list)
        for lines in stored.shards(data_dir):
            for name, numbers in numbers_by_connection(lines).items():
                assert numbers == sorted(numbers)
                found[name] += numbers
        assert {name: sorted(numbers) for name, numbers in found.items()} == {
            name: list(range(sent)) for name, sent in enumerate(self._sent)
        }

    def _send(self, address: tuple[str, int], name: int) -> None:
        try:
            with socket.create_connection(address, PATIENCE_SECONDS) as connection:
                rest = b""
                while not self._stopped.wait(_PAUSE_SECONDS):
                    lines = numbered_lines(name, self._sent[name], _LINES_PER_WRITE)
                    self._sent[name] += _LINES_PER_WRITE
                    text = rest + b"\n".join([*lines, b""])
                    connection.sendall(text[:-_TORN_BYTES])
                    rest = text[-_TORN_BYTES:]
                connection.sendall(rest)
        except OSError as error:
            self.errors.append(error)
