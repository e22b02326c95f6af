"""Child processes: how they are started, what they inherit, and how their end is learned."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator

from ingest import children


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
    """Start `python -m MODULE` with its spec to read and these descriptors under their own numbers.

    The spec may hold secrets of plugins, and arguments can be read by every user of the machine; so
    it comes as standard input. The process is a session of its own: Ctrl-C on the terminal reaches
    the supervisor alone, which then drains in order.
    """
    with open(os.memfd_create("ingest-spec"), "w+b") as told:  # noqa: PTH123 - it has no path
        told.write(spec)
        told.seek(0)
        process = subprocess.Popen(
            children.command(module),
            stdin=told,
            pass_fds=tuple(descriptors),
            start_new_session=True,
            env=children.environment(),
        )
    return Child(process)


def is_child(pid: int) -> bool:
    """Say whether a process is a child of ours that has not been reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


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
