"""Has the generator check what a server has stored: each event once, each connection in order."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import msgspec

from bench import generator
from bench.generator import Sent
from ingest import contract
from ingest._native import JournalReader
from ingest.journal import list_shards


class Findings(msgspec.Struct, frozen=True):
    """What `loadgen check` says of the events of one run."""

    events: int
    other_runs: int
    foreign: int
    lost: int
    duplicated: int
    reordered: int
    received_out_of_order: int
    """Of events in different shards, by the time when they were received."""
    timed: int
    """Events that say when they were received."""
    moved_connections: int
    """Connections with events in more than one shard."""
    clean: bool


def check(data_dir: Path, sent: Sent) -> Findings:
    """Compare the journal with what was sent."""
    shards = list_shards(data_dir / contract.JOURNAL_DIRECTORY)
    pipes = [os.pipe() for _ in shards]
    readers, writers = [reader for reader, _ in pipes], [writer for _, writer in pipes]
    with tempfile.NamedTemporaryFile() as report:
        report.write(msgspec.json.encode(sent))
        report.flush()
        command: list[str | Path] = [generator.program(), "check", f"--sent={report.name}"]
        command.extend(f"/dev/fd/{reader}" for reader in readers)
        with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=readers) as process:
            for reader in readers:
                os.close(reader)
            for shard, writer in zip(shards, writers, strict=True):
                with open(writer, "wb", buffering=0) as out:  # noqa: PTH123 - a descriptor
                    _copy(shard, out.fileno())
            output, _ = process.communicate()
    return msgspec.json.decode(output, type=Findings)


def _copy(shard: Path, descriptor: int) -> None:
    reader = JournalReader(os.fspath(shard), start="oldest")
    while batch := reader.next():
        lines = memoryview(batch.lines)
        while lines:
            lines = lines[os.write(descriptor, lines) :]


def last_lines(data_dir: Path) -> list[bytes]:
    """Return the event that was stored last in each shard."""
    lines = []
    for shard in list_shards(data_dir / contract.JOURNAL_DIRECTORY):
        reader, last = JournalReader(os.fspath(shard), last=1), b""
        while batch := reader.next():
            last = batch.lines.splitlines()[-1]
        lines.append(last)
    return lines
