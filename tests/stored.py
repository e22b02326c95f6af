"""What a data directory holds, read back with the product's own reader or with other programs."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from ingest._native import JournalReader
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from tests.harness import run_command


class DeadLetter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One line of the dead-letter journal."""

    received_at: str
    listener: str
    reason: str
    length: int
    peer: str | None = None
    stage: str | None = None
    redacted: bool = False
    truncated: bool = False
    raw: str | None = None
    raw_base64: str | None = None

    @property
    def line(self) -> bytes:
        """The bytes that were sent, or their beginning."""
        if self.raw is not None:
            assert self.raw_base64 is None
            return self.raw.encode()
        assert self.raw_base64 is not None
        return base64.b64decode(self.raw_base64, validate=True)


class Follower:
    """Reads the lines of one journal that are stored from now on."""

    def __init__(self, data_dir: Path, journal: str, *, start: str = "end") -> None:
        shards = sorted((data_dir / journal).glob("shard-*"))
        self._readers = [
            JournalReader(str(shard), start="end" if start == "end" else "oldest")
            for shard in shards
        ]

    def new_shards(self, missing: int = 0) -> list[list[bytes]]:
        """Return the lines stored since the last call, for each shard.

        Exactly so many sequence numbers, by default none, may be missing between them.
        """
        found = []
        for reader in self._readers:
            lines: list[bytes] = []
            while batch := reader.next():
                missing -= batch.missing
                of_batch = batch.lines.split(b"\n")
                assert of_batch.pop() == b"", "a batch ends with a newline"
                assert len(of_batch) == batch.count
                lines += of_batch
            found.append(lines)
        assert missing == 0
        return found

    def new(self) -> list[bytes]:
        """Return the lines stored since the last call, shard after shard."""
        return list(chain.from_iterable(self.new_shards()))


def shards(
    data_dir: Path, journal: str = JOURNAL_DIRECTORY, *, missing: int = 0
) -> list[list[bytes]]:
    """Return all lines of a journal, for each shard in the order of their sequence numbers."""
    return Follower(data_dir, journal, start="oldest").new_shards(missing)


def events(data_dir: Path, *, missing: int = 0) -> list[bytes]:
    """Return all events, shard after shard, of which so many are known to be lost."""
    return list(chain.from_iterable(shards(data_dir, missing=missing)))


def dead_letters(data_dir: Path) -> list[DeadLetter]:
    """Return all dead letters, shard after shard."""
    return parse_dead_letters(chain.from_iterable(shards(data_dir, DEAD_DIRECTORY)))


def parse_dead_letters(lines: Iterable[bytes]) -> list[DeadLetter]:
    """Read lines of the dead-letter journal."""
    return [msgspec.json.decode(line, type=DeadLetter) for line in lines]


def segments(data_dir: Path) -> list[Path]:
    """Return the segment files of the event journal, oldest first within each shard."""
    return sorted((data_dir / JOURNAL_DIRECTORY).glob("shard-*/*.ndjson.zst"))


def tool(name: str) -> str:
    """Return the path of a program that users have; skip the test where this machine has not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def decompress(data_dir: Path) -> bytes:
    """Return the event journal as `zstd -dc` reads it; every segment is valid in its eyes."""
    command = [tool("zstd"), "-dcq", "--", *map(str, segments(data_dir))]
    return subprocess.run(command, check=True, capture_output=True).stdout


def assert_verified(data_dir: Path) -> None:
    """Fail unless `ingest verify` finds every segment intact."""
    verified = run_command("verify", "--data-dir", data_dir)
    assert verified.returncode == 0, verified.stdout.decode() + verified.stderr.decode()
