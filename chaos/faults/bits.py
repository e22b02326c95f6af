"""Bits flip on the disk: every one is noticed, and harms nothing but its own batch."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from chaos import damage, segments
from chaos.fault import Promise
from chaos.faults.faulty import OnFaultyDisk
from chaos.segments import Batch
from ingest._native import JournalReader, verify_directory
from ingest.errors import ExitStatus
from tests.harness import Server, run_command

if TYPE_CHECKING:
    from chaos.tier import Tier

_COPIED_BYTES = 4 * 1024 * 1024
_MOST_FLIPS = 8
_NEW_EVENTS = 100

Lines = dict[int, bytes]
"""The lines of each batch that can be read, by the sequence number of the first."""


class FlipBits(OnFaultyDisk):
    """Bits flip anywhere in segments of a stopped server, and it starts on what is left.

    The files are a copy of what the server under load has written so far.
    """

    name = "bit-flips"
    promise = Promise(
        words="every flip is reported; every other batch stays readable, also after a repair"
    )

    def strike(self, tier: Tier, chance: Random) -> None:
        """Flip bits in a copy, look at it, start a server on it, repair it, and look again."""
        copy = self.directory / "copy"
        with tier.standing_still():
            shards = damage.copy_newest(tier.data_dir, copy, _COPIED_BYTES)
        damaged = {shard: _damage(shard, chance) for shard in shards}
        with Server(copy) as server:
            server.deliver(b"{}\n" * _NEW_EVENTS, _NEW_EVENTS)
            assert server.stop() == ExitStatus.CLEAN
        _look_again(damaged)
        _command("repair", copy)
        _look_again(damaged)
        _command("verify", copy, "--chain")
        shutil.rmtree(copy)


def _command(name: str, data_dir: Path, *options: str) -> None:
    done = run_command(name, *options, "--data-dir", data_dir)
    assert done.returncode == 0, f"{name}: {done.stdout.decode()}{done.stderr.decode()}"


def _look_again(damaged: dict[Path, Lines]) -> None:
    """Fail unless what was good is still there, and the new events are as well."""
    added = sum(_count(_read(shard, good), good) for shard, good in damaged.items())
    assert added == _NEW_EVENTS, f"{added} new events behind the damage"


def _damage(shard: Path, chance: Random) -> Lines:
    """Flip bits in a shard; return what must be readable for ever."""
    good, expected = _read(shard, {}), {}
    for segment in sorted(shard.glob("*.ndjson.zst")):
        known = list(segments.batches(segment))
        flips = damage.flip_bits(segment, chance.randint(0, _MOST_FLIPS), chance)
        hit = [batch for batch in known if any(batch.offset <= flip < batch.end for flip in flips)]
        for batch in hit:
            good.pop(batch.first_sequence)
        expected[segment] = _begin(known, hit, segment.stat().st_size)
    for report in verify_directory(str(shard)):
        # A gap is reported where the sequence goes on.
        found = [offset for kind, offset, _ in report.findings if kind != "gap"]
        wanted = expected.get(Path(report.path), [])
        assert found == wanted, f"damage at {wanted}, reported: {report.findings}"
    assert _read(shard, good) == good, "an undamaged batch cannot be read"
    return good


def _begin(known: list[Batch], hit: list[Batch], size: int) -> list[int]:
    """Return where damage begins; what follows without a good batch between is part of it."""
    bad = [batch.offset for batch in hit]
    behind = known[-1].end if known else 0
    if behind < size:
        bad.append(behind)  # a batch was being written
    ends = {batch.end for batch in hit}
    return [offset for offset in bad if offset not in ends]


def _read(shard: Path, wanted: Lines) -> Lines:
    """Read a shard to its end; fail unless all that is wanted is there, as it was, and once."""
    reader, found, behind = JournalReader(str(shard)), {}, 0
    while True:
        try:
            batch = reader.next()
        except RuntimeError:
            continue  # raised once for each damage
        if batch is None:
            break
        assert batch.first_sequence >= behind, "a sequence number was given twice"
        behind = batch.first_sequence + batch.count
        found[batch.first_sequence] = batch.lines
    assert found.items() >= wanted.items(), "an undamaged batch cannot be read any more"
    return found


def _count(found: Lines, known: Lines) -> int:
    """Return how many events there are that were not known."""
    return sum(lines.count(b"\n") for first, lines in found.items() if known.get(first) != lines)
