"""Programs of others that tests run: where they are, and how they are started and ended."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import PATIENCE_SECONDS, wait_until

UNPACKED = Path(__file__).parents[3] / ".clients"
"""Where `make clients` puts them."""
LIBRARIES = ("lib/*-linux-gnu", "usr/lib/*-linux-gnu", "usr/lib/syslog-ng")


def daemon(name: str) -> str:
    """Return the path of a program; skip the test where it is neither unpacked nor installed."""
    found = shutil.which(UNPACKED / "usr/sbin" / name) or shutil.which(
        name, path=f"{os.environ['PATH']}:/usr/sbin"
    )
    if found is None:
        pytest.skip(f"{name} is not here: `make clients` unpacks it from Debian's packages")
    return found


def directories(pattern: str) -> str:
    """Return directories of unpacked packages, as a search path; it may be empty."""
    return ":".join(map(str, UNPACKED.glob(pattern)))


@contextmanager
def running(
    command: Sequence[str], log: Path, descriptors: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the foreground; end it, and show what it said if the test fails."""
    libraries = ":".join(filter(None, map(directories, LIBRARIES)))
    environment = {**os.environ, "TZ": "UTC", "LD_LIBRARY_PATH": libraries}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, pass_fds=descriptors
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                print(log.read_text(errors="replace"))  # noqa: T201


def wait_for(socket: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a program has made its socket."""
    wait_until(lambda: socket.exists() or process.poll() is not None)
    assert socket.exists(), f"{process.args!r} has ended"
