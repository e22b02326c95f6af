"""What a peer is, where its program is, and how it is set to do a job."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.peers.grounds import Ground, Name

UNPACKED = Path(__file__).parents[2] / ".clients"
"""Where `make clients` puts Debian's packages."""
CONFIGURATIONS = Path(__file__).parent / "configurations"

_LIBRARIES = ("lib/*-linux-gnu", "usr/lib/*-linux-gnu", "usr/lib/syslog-ng")


class Place(msgspec.Struct, frozen=True):
    """What a run of a peer has for itself."""

    directory: Path
    """All that it writes; its output is the files `out*` there."""
    configuration: Path
    program: Path


class Peer(msgspec.Struct, frozen=True):
    """A program that can do some of the jobs."""

    name: str
    """Also that of its directory in configurations/, with a file for each job."""
    program: str
    """The name of the executable."""
    origin: str
    """Where to get it."""
    command: Callable[[Place], list[str]]
    version: tuple[str, ...] = ("--version",)
    flush_signal: signal.Signals | None = None
    """Makes it write what it holds back for its next write."""
    slowness: Mapping[Name, int] = {}
    """On which grounds it would take minutes, and how many times fewer events it gets there."""

    def find(self, directories: Sequence[Path]) -> Path | None:
        """Return its program: from these directories, unpacked, or on PATH."""
        places = [*directories, UNPACKED / "usr/sbin", UNPACKED / "usr/bin"]
        path = os.pathsep.join([*map(str, places), os.environ.get("PATH", ""), "/usr/sbin"])
        found = shutil.which(self.program, path=path)
        return Path(found).resolve() if found else None

    def template(self, ground: Ground) -> Path | None:
        """Return its configuration for a job; None where it does not do that job."""
        return next((CONFIGURATIONS / self.name).glob(f"{ground.name}.*"), None)

    def configure(self, ground: Ground, directory: Path, port: int) -> Path:
        """Write its configuration for a job into the directory; return the file."""
        template = self.template(ground)
        if template is None:
            raise LookupError(f"{self.name} has no configuration for {ground.name}")
        text = template.read_text().replace("@PORT@", str(port))
        file = directory / template.name
        file.write_text(text.replace("@DIRECTORY@", os.fspath(directory)))
        return file


def environment(program: Path) -> dict[str, str]:
    """Return the environment of a program: with its libraries, if it was unpacked."""
    if not program.is_relative_to(UNPACKED):
        return {**os.environ, "TZ": "UTC"}
    return {**os.environ, "TZ": "UTC", "LD_LIBRARY_PATH": unpacked(*_LIBRARIES)}


def unpacked(*patterns: str) -> str:
    """Return directories of unpacked packages as a search path, which may be empty."""
    return ":".join(str(each) for pattern in patterns for each in UNPACKED.glob(pattern))
