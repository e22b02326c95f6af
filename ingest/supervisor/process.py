"""Child processes: how they are started, what they inherit, and how their end is learned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import ingest


class Child:
    """A running process of ours; nobody but `reap` waits for it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal. Not being reaped yet, the process cannot have lent its id to another."""
        os.kill(self.pid, number)

    def reaped(self, code: int) -> None:
        """Note how it ended, so that Popen does not wait for it as well."""
        self._process.returncode = code


def spawn(module: str, spec: bytes, descriptors: Iterable[int]) -> Child:
    """Start `python -m MODULE --spec SPEC` with these descriptors under their own numbers.

    It is a session of its own: a Ctrl-C on the terminal reaches the supervisor alone, which then
    drains in order.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, "--spec", spec.decode()],
        stdin=subprocess.DEVNULL,
        pass_fds=tuple(descriptors),
        start_new_session=True,
        env=_environment(),
    )
    return Child(process)


def reap() -> Iterator[tuple[int, int]]:
    """Yield the process id and exit code of every child that ended; a code -N is the signal N.

    As PID 1 of a container we inherit every orphan, so some of these were never started by us.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def describe_exit(code: int) -> str:
    """Return an exit code as people say it."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"


def _environment() -> dict[str, str]:
    """Return an environment in which a child finds this very package.

    With -P a directory that happens to be called `ingest` where the server was started cannot
    take its place, so a package that is run from a checkout has to be named.
    """
    environment = dict(os.environ)
    root = str(Path(ingest.__file__).parents[1])
    if root not in sysconfig.get_paths().values():
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([root, inherited] if inherited else [root])
    return environment
