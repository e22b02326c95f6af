"""What the benchmarks of durability and the soak make of what they measured."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import msgspec
import pytest

from bench import footprint
from bench.acknowledging import Acknowledging, Answered
from bench.acknowledging import Case as AcknowledgingCase
from bench.distribution import Distribution
from bench.footprint import Footprint
from bench.group_commit import GroupCommit
from bench.runs import Run
from bench.soak import Leg, Soak
from ingest.counters import LedgerStatus
from tests.measured import FINDINGS, MIB, RUN


def run(rate: float) -> Run:
    return msgspec.structs.replace(RUN, events_per_second=rate)


def test_the_cost_of_group_commit_is_that_within_pairs() -> None:
    """The machine was half as fast in the second pair, and the ratio does not show it."""
    found = GroupCommit(4, 10, [run(0.9e6), run(0.45e6)], [run(1e6), run(0.5e6)])
    assert found.ratio.minimum == found.ratio.maximum == pytest.approx(0.9)
    assert "costs 10.0% of the throughput" in found.section()


def test_the_page_of_acknowledgements_has_every_case_twice() -> None:
    answered = Answered(10, 100, 2.0, Distribution.of([25.0] * 10))
    cases = [AcknowledgingCase(320, clients, answered, answered) for clients in (1, 16)]
    page = Acknowledging([2e6], 1e6, cases).section()
    assert page.count("| 320 bytes by 1, 5 a second | 10 | 25.0 |") == 2
    assert page.count("| to 25 ms | 100.00% | 100.00% |") == 2


def test_growth_is_that_of_the_last_fifth_over_the_second() -> None:
    assert footprint.growth([50.0] * 2 + [100.0] * 6 + [110.0] * 2) == pytest.approx(0.1)
    assert footprint.growth([7.0] * 25) == 0.0
    with pytest.raises(ValueError, match="4 samples"):
        footprint.growth([1.0] * 4)


def test_shared_memory_is_counted_once_whoever_maps_it() -> None:
    """Nobody maps it at first, and it takes memory all the same."""
    own, size = os.getpid(), 256 * MIB
    # Far more than this process itself may grow or shrink by meanwhile.
    fitting = range(size * 3 // 4, size * 5 // 4)
    before, twice_before = footprint.look([own], 0.0), footprint.look([own, own], 0.0)
    shared = os.memfd_create("shared")
    try:
        os.posix_fallocate(shared, 0, size)
        unmapped = footprint.look([own], 0.0)
        with mmap.mmap(shared, size) as mapped:
            assert mapped.find(b"y") == -1  # every page was touched
            twice = footprint.look([own, own], 0.0)
    finally:
        os.close(shared)
    assert unmapped.descriptors == before.descriptors + 1
    assert unmapped.memory_bytes - before.memory_bytes in fitting
    assert twice.memory_bytes - twice_before.memory_bytes in fitting


def test_segments_are_no_descriptors_that_count(tmp_path: Path) -> None:
    before = footprint.look([os.getpid()], 0.0).descriptors
    with (tmp_path / "0.ndjson.zst").open("wb"), (tmp_path / "other").open("wb"):
        assert footprint.look([os.getpid()], 0.0).descriptors == before + 1


def test_the_page_of_a_soak_says_what_grew_and_what_was_lost() -> None:
    findings = msgspec.structs.replace(FINDINGS, timed=0, moved_connections=0)
    samples = [Footprint(float(at), (100 + at) * MIB, 90, 4) for at in range(10)]
    leg = Leg(10, 5.0, 0.0, 3, samples[0], LedgerStatus(), findings)
    found = Soak(
        rate=2.0,
        leg_seconds=5.0,
        workers=2,
        seed=1,
        faults={"replace": 3},
        warm_up_events=1,
        began=samples[0],
        samples=samples,
        legs=[leg],
        ledger=LedgerStatus(),
    )
    page = found.section()
    assert "| memory growth | +5.85% |" in page
    assert "| descriptors growth | +0.00% |" in page
    assert "replace 3 times" in page
