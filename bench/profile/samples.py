"""Reads what `perf script` prints: one sample after the other, each with its stack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_HEAD = re.compile(r"(?P<thread>\S.*?)\s+(?P<id>\d+)\s*$")
_FRAME = re.compile(r"\s+(?P<address>[0-9a-f]+) (?P<symbol>.*) \((?P<object>.*)\)$")
_UNKNOWN = "[unknown]"
_NOT_THE_KERNEL = (_UNKNOWN, "[vdso]", "[heap]", "[stack]")


class Frame(NamedTuple):
    """One function on a stack."""

    symbol: str
    object: str
    """The file it is in; the kernel and its modules stand in brackets."""
    address: int = 0
    """Where in the file, in bytes from its beginning; in memory as well, see the Makefile."""

    @property
    def is_kernel(self) -> bool:
        """Whether it is of the kernel."""
        return self.object.startswith("[") and self.object not in _NOT_THE_KERNEL


class Sample(NamedTuple):
    """What one thread was doing at one moment."""

    thread: str
    frames: tuple[Frame, ...]
    """The innermost first; what could not be unwound is missing at the end."""


def parse(lines: Iterable[str]) -> Iterator[Sample]:
    """Yield the samples in `perf script --fields comm,tid,ip,sym,dso`."""
    thread, frames = "", list[Frame]()
    for line in lines:
        if found := _FRAME.match(line):
            if found["object"] != _UNKNOWN:
                frames.append(Frame(found["symbol"], found["object"], int(found["address"], 16)))
        elif head := _HEAD.match(line):
            if frames:
                yield Sample(thread, tuple(frames))
            thread, frames = head["thread"], []
    if frames:
        yield Sample(thread, tuple(frames))
