"""Read the newest lines of all shards of a journal, and what is added to them, in one stream.

Shards are brought together by the time their batches were received. Within a shard the order is
exact; between shards it is as exact as a batch is short.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from ingest._native import Batch, JournalReader
from ingest.journal.shards import list_shards


class Tail:
    """The end of a journal; it holds no more than the last lines of each shard.

    What cannot be read is passed over, and `warn` is told in a line.
    """

    def __init__(self, journal: Path, warn: Callable[[str], None]) -> None:
        self._journal = journal
        self._warn = warn
        self._readers: dict[Path, JournalReader] = {}

    def last(self, count: int) -> bytes:
        """Return the last `count` lines that are stored now; `new` goes on from there."""
        now_ns = time.time_ns()
        newest: list[Batch] = []
        for shard in list_shards(self._journal):
            self._readers[shard] = JournalReader(str(shard), last=count)
            newest += self._read_last(shard, count, now_ns)
        newest.sort(key=_received)
        return _take_last(newest, count)

    def new(self) -> bytes:
        """Return what was stored since the last call, at most a batch of each shard."""
        for shard in list_shards(self._journal):
            if shard not in self._readers:
                self._readers[shard] = JournalReader(str(shard), start="oldest")
        batches = [batch for shard in self._readers if (batch := self._next(shard))]
        batches.sort(key=_received)
        return b"".join(batch.lines for batch in batches)

    def _read_last(self, shard: Path, count: int, until_ns: int) -> deque[Batch]:
        """Read on to now and keep the batches that hold the last lines.

        Under load there is always one more batch, so it ends with what has been received by now.
        """
        kept: deque[Batch] = deque()
        held = 0
        while batch := self._next(shard):
            kept.append(batch)
            held += batch.count
            while held - kept[0].count >= count:
                held -= kept.popleft().count
            if batch.last_received_ns > until_ns:
                break
        return kept

    def _next(self, shard: Path) -> Batch | None:
        reader = self._readers[shard]
        while True:
            try:
                batch = reader.next()
            except RuntimeError as damage:  # the reader goes on behind it
                self._warn(str(damage))
                continue
            if batch is not None and batch.missing:
                self._warn(f"{shard}: {batch.missing:,} events are gone")
            return batch


def _received(batch: Batch) -> int:
    return batch.first_received_ns


def _take_last(batches: Iterable[Batch], count: int) -> bytes:
    """Return the last lines of batches that are in order."""
    parts: list[bytes] = []
    for batch in reversed(list(batches)):
        if count <= 0:
            break
        if batch.count > count:
            lines = batch.lines.split(b"\n")  # the last is what follows the last line: nothing
            parts.append(b"\n".join(lines[-count - 1 :]))
        else:
            parts.append(batch.lines)
        count -= batch.count
    return b"".join(reversed(parts))
