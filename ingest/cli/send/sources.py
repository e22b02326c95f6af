"""Where the lines come from: a file, standard input, or samples made up here."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator

from ingest.events import Samples

_BLOCK_BYTES = 256 * 1024


def read_batches(stream: io.BufferedReader, largest: int) -> Iterator[list[bytes]]:
    """Yield lines without their ends, as soon as they can be had; blank ones are left out."""
    rest = b""
    while block := stream.read1(_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        yield from _batches(lines, largest)
    yield from _batches([rest], largest)


def sample_batches(count: int, largest: int) -> Iterator[list[bytes]]:
    """Yield `count` sample events."""
    samples = Samples(secrets.randbits(64))
    for first in range(0, count, largest):
        yield samples.lines(first, min(largest, count - first))


def _batches(lines: list[bytes], largest: int) -> Iterator[list[bytes]]:
    filled = [line for line in lines if line and not line.isspace()]
    for first in range(0, len(filled), largest):
        yield filled[first : first + largest]
