"""Has the generator check what a server has stored: each event once, each connection in order."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench import generator
from bench.generator import Sent
from ingest import contract
from ingest._native import Batch, JournalReader
from ingest.journal import SEGMENT_SUFFIX, list_shards


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


class Stretch(msgspec.Struct, frozen=True):
    """Part of a shard, from one batch to another."""

    first_sequence: int
    next_sequence: int
    """Behind its last event."""


def check(data_dir: Path, sent: Sent, stretches: Sequence[Stretch] | None = None) -> Findings:
    """Compare the journal with what was sent; where it is long, part of every shard.

    Raises LookupError where a part is not there any more.
    """
    shards = list_shards(data_dir / contract.JOURNAL_DIRECTORY)
    pipes = [os.pipe() for _ in shards]
    readers, writers = [reader for reader, _ in pipes], [writer for _, writer in pipes]
    with tempfile.NamedTemporaryFile() as report:
        report.write(msgspec.json.encode(sent))
        report.flush()
        command: list[str | Path] = [generator.program(), "check", f"--sent={report.name}"]
        command.extend(f"/dev/fd/{reader}" for reader in readers)
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=readers) as process,
            ExitStack() as stack,
        ):
            for reader in readers:
                os.close(reader)
            # Whatever happens, each is closed: the generator waits for the end of all of them.
            outs = [stack.enter_context(os.fdopen(each, "wb", buffering=0)) for each in writers]
            parts: Sequence[Stretch | None] = stretches or [None] * len(shards)
            for shard, part, out in zip(shards, parts, outs, strict=True):
                with out:
                    if part is None:
                        _copy(JournalReader(os.fspath(shard), start="oldest"), out.fileno())
                    else:
                        _copy_part(shard, part, out.fileno())
            output, _ = process.communicate()
    return msgspec.json.decode(output, type=Findings)


def _copy(reader: JournalReader, descriptor: int) -> None:
    while batch := reader.next():
        _write(descriptor, batch)


def _copy_part(shard: Path, part: Stretch, descriptor: int) -> None:
    at = part.first_sequence
    if at == part.next_sequence:
        return
    reader = JournalReader(os.fspath(shard), start=at)
    while at < part.next_sequence and (batch := reader.next()):
        if batch.first_sequence != at:
            raise LookupError(f"{shard}: behind {at} comes {batch.first_sequence}")
        _write(descriptor, batch)
        at += batch.count
    if at != part.next_sequence:
        raise LookupError(f"{shard}: ends with {at} instead of {part.next_sequence}")


def _write(descriptor: int, batch: Batch) -> None:
    lines = memoryview(batch.lines)
    while lines:
        lines = lines[os.write(descriptor, lines) :]


def written_bytes(data_dir: Path) -> int:
    """Return how large all segments of events are."""
    shards = list_shards(data_dir / contract.JOURNAL_DIRECTORY)
    segments = (segment for shard in shards for segment in shard.glob(f"*{SEGMENT_SUFFIX}"))
    return sum(segment.stat().st_size for segment in segments)


def batches(data_dir: Path) -> Iterator[Batch]:
    """Give all batches, one shard after the other."""
    for shard in list_shards(data_dir / contract.JOURNAL_DIRECTORY):
        reader = JournalReader(os.fspath(shard), start="oldest")
        while batch := reader.next():
            yield batch


def last_lines(data_dir: Path) -> list[bytes]:
    """Return the event that was stored last in each shard."""
    lines = []
    for shard in list_shards(data_dir / contract.JOURNAL_DIRECTORY):
        reader, last = JournalReader(os.fspath(shard), last=1), b""
        while batch := reader.next():
            last = batch.lines.splitlines()[-1]
        lines.append(last)
    return lines
