"""Puts the functions that the compiler inlined back onto the stacks, from the debug information.

Without them all of the hot path would be one function, that into which the rest was inlined.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.profile.samples import Frame, Sample

_UNKNOWN = "??"


def expand(samples: Sequence[Sample], library: Path) -> list[Sample]:
    """Return the samples with every frame of `library` replaced by the functions inlined there."""
    name = str(library)
    addresses = {frame.address for each in samples for frame in each.frames if frame.object == name}
    inlined = _look_up(library, sorted(addresses))
    return [
        Sample(
            each.thread,
            tuple(
                whole
                for frame in each.frames
                for whole in (frame.object == name and inlined[frame.address]) or (frame,)
            ),
        )
        for each in samples
    ]


def _look_up(library: Path, addresses: Sequence[int]) -> dict[int, tuple[Frame, ...]]:
    """Return for every address in the library the functions there, the innermost first."""
    output = subprocess.run(
        ["addr2line", "--inlines", "--functions", "--demangle", "--addresses", "--exe", library],  # noqa: S607
        input="\n".join(map(hex, addresses)),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = iter(_blocks(output.splitlines()))
    return {
        address: tuple(Frame(symbol, str(library), address) for symbol in next(found))
        for address in addresses
    }


def _blocks(lines: Iterable[str]) -> Iterable[list[str]]:
    """Yield the functions at each address: a line with the address, then two for each function."""
    block: list[str] | None = None
    is_function = True
    for line in lines:
        if line.startswith("0x"):
            if block is not None:
                yield block
            block, is_function = [], True
            continue
        if is_function and line != _UNKNOWN and block is not None:
            block.append(line)
        is_function = not is_function
    if block is not None:
        yield block
