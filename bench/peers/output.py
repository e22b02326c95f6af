"""What a peer has written: how many lines so far, and whether they are what was asked for."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import generator
from bench.generator import Sent
from bench.peers.grounds import SECRET, Ground
from bench.runs import DEADLINE_SECONDS
from bench.server import FailedRunError
from bench.stored import Findings

ADDED = b'"added":'
"""The key that a peer adds to every JSON event."""

_CHUNK_BYTES = 4 * 1024 * 1024


class Output:
    """The files `out*` of a directory; it is the peer's business how many they are."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}
        self.lines = 0
        """As of the last look."""

    def size(self) -> int:
        """Return how many bytes there are; it costs next to nothing."""
        return sum(file.stat().st_size for file in self.files())

    def look(self) -> int:
        """Count the lines that were added since the last look; return how many there are."""
        for file in self.files():
            with file.open("rb", buffering=0) as stream:
                stream.seek(self._read.get(file, 0))
                for chunk in _chunks(stream.fileno()):
                    self.lines += chunk.count(b"\n")
                self._read[file] = stream.tell()
        return self.lines

    def files(self) -> list[Path]:
        """Return the files, in order of their names."""
        return sorted(self._directory.glob("out*"))

    def check(self, ground: Ground, sent: Sent, *, may_lose: bool) -> Findings:
        """Fail unless every event of a run is there once and the job was done on all lines."""
        findings = self._identities(sent)
        lost = 0 if may_lose else findings.lost
        if lost + findings.duplicated + findings.foreign:
            raise FailedRunError(f"what was written is not what was sent: {findings}")
        if ground.name == "json":
            self._check_job()
        return findings

    def _identities(self, sent: Sent) -> Findings:
        with tempfile.NamedTemporaryFile() as report:
            report.write(msgspec.json.encode(sent))
            report.flush()
            command: list[str | Path] = [generator.program(), "check", f"--sent={report.name}"]
            command += self.files()
            done = subprocess.run(
                command, check=False, stdout=subprocess.PIPE, timeout=DEADLINE_SECONDS
            )
        return msgspec.json.decode(done.stdout, type=Findings)

    def _check_job(self) -> None:
        secrets = added = 0
        for file in self.files():
            with file.open("rb") as stream:
                for line in stream:
                    secrets += SECRET in line
                    added += ADDED in line
        if secrets or added != self.look():
            raise FailedRunError(
                f"of {self.lines} lines {secrets} have the field that was to go,"
                f" {added} the one that was to be added"
            )


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        yield chunk
