"""How a Python program of ours is started by another, and how its end is put into words."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from pathlib import Path

import ingest


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours with the interpreter of this process.

    With -P a directory that happens to be called `ingest` where the server was started cannot
    take the place of this package.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return an environment in which `command` finds this very package, also in a checkout."""
    found = dict(os.environ)
    root = str(Path(ingest.__file__).parents[1])
    if root not in sysconfig.get_paths().values():
        inherited = found.get("PYTHONPATH")
        found["PYTHONPATH"] = os.pathsep.join([root, inherited] if inherited else [root])
    return found


def describe_exit(code: int) -> str:
    """Return an exit code as people say it; a code -N is the signal N."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"
