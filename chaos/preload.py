"""Compiles what is preloaded into the server, which needs a C compiler (`cc`)."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from chaos.fault import Unavailable

_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Directories that are removed when this process ends."""


@functools.cache
def library(source: Path) -> Path:
    """Return the shared library of a C source, compiled once per process."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unavailable("there is no C compiler")
    directory = tempfile.TemporaryDirectory(prefix="chaos-preload-")
    _KEPT.append(directory)
    target = Path(directory.name) / source.with_suffix(".so").name
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", target, source], check=True)
    return target
