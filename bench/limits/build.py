"""Compiles the programs of the limits, with simdjson where `make clients` has unpacked it."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.peers.peer import UNPACKED

_HERE = Path(__file__).parent
_WARNINGS = ("-Wall", "-Wextra", "-Werror")
_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Directories that are removed when this process ends."""


class Unavailable(Exception):  # noqa: N818 - it names a state, and is told rather than raised on
    """A limit cannot be measured here; the text says why."""


@functools.cache
def limit() -> Path:
    """Return the program that receives, compiled for this machine once per process."""
    return _compile("g++", "limit.cpp", "-std=c++20", "-O3", "-march=native", *_simdjson())


@functools.cache
def copy() -> Path:
    """Return the program that copies memory to files."""
    return _compile("gcc", "copy.c", "-std=c11", "-O3", "-march=native")


def can_parse() -> bool:
    """Return whether simdjson is here, without which nothing is parsed."""
    return bool(_simdjson())


def _simdjson() -> list[str]:
    header = UNPACKED / "usr/include/simdjson.h"
    libraries = sorted(UNPACKED.glob("usr/lib/*/libsimdjson.so"))
    if not header.exists() or not libraries:
        return []
    directory = libraries[0].parent
    # As of the system, so that its warnings are not ours.
    found = ["-DWITH_SIMDJSON", "-isystem", str(header.parent), f"-L{directory}"]
    return [*found, f"-Wl,-rpath,{directory}"]


def _compile(compiler: str, source: str, *options: str) -> Path:
    found = shutil.which(compiler)
    if found is None:
        raise Unavailable(f"there is no {compiler}")
    directory = tempfile.TemporaryDirectory(prefix="bench-limits-")
    _KEPT.append(directory)
    target = Path(directory.name) / Path(source).stem
    command = [found, *options, *_WARNINGS, "-o", str(target), str(_HERE / source), "-pthread"]
    if "-DWITH_SIMDJSON" in options:
        command.append("-lsimdjson")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{compiler} does not compile {source}: {done.stderr[-1000:]}")
    return target
