"""The independent oracle: the senders' own record of what they sent, held against the files.

`loadgen audit` reads the segments by their documented format, with a decoder that the server does
not use, and compares every line by its hash with what the sender noted before it sent it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench import generator
from bench.generator import Sent
from ingest.contract import JOURNAL_DIRECTORY


class Findings(msgspec.Struct, frozen=True):
    """What `loadgen audit` says of one journal; all are counts."""

    events: int
    """Events in it that were sent."""
    foreign: int
    """Events in it that nobody sent."""
    altered: int
    """Events in it that are not, byte for byte, what was sent."""
    duplicated: int
    reordered: int
    """Events that stand in their shard behind one that was sent later."""
    lost: int
    """Events nowhere, of connections that lived, or before an event of theirs that is there."""
    unconfirmed: int
    """Events nowhere at the end of connections that the server broke: read or not, who knows."""
    batches: int
    missing_sequences: int
    """Sequence numbers that no batch has, between batches that are there."""
    repeated_sequences: int
    """Sequence numbers that were given twice."""
    damages: int
    """Places in the segments where something else stands than a whole batch."""
    damaged_bytes: int


def audit(data_dir: Path, sent: Sent, record: Path) -> Findings:
    """Compare the journal with the record of what was sent."""
    shards = sorted((data_dir / JOURNAL_DIRECTORY).glob("shard-*"))
    with tempfile.NamedTemporaryFile() as report:
        report.write(msgspec.json.encode(sent))
        report.flush()
        command: list[str | Path] = [generator.program(), "audit"]
        command += [f"--sent={report.name}", f"--record={record}", *shards]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return msgspec.json.decode(output, type=Findings)


def verify(data_dir: Path) -> str | None:
    """Return what `ingest verify --chain` complains of, or None."""
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "verify", "--chain", "--data-dir", str(data_dir)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in lines if not line.endswith("good"))
