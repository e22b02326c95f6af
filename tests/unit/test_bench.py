"""How the benchmark turns two curves into a latency, and refuses curves that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.distribution import BOUNDS_MS, Distribution, histogram, percentiles
from bench.latency import Sampler, distance, read_curve

MILLISECOND = 1_000_000


def test_latency_is_the_distance_between_the_curves() -> None:
    sent = [(0, 50), (10 * MILLISECOND, 100)]
    durable = [(5 * MILLISECOND, 50), (40 * MILLISECOND, 100)]
    found = distance(sent, durable, already_durable=0)
    # Fifty took 5 ms, and fifty 30 ms.
    assert found == Distribution.of([5.0] * 50 + [30.0] * 50)
    assert (found.samples, found.p50, found.p90, found.maximum) == (100, 5.0, 30.0, 30.0)


def test_events_of_the_warm_up_are_not_counted() -> None:
    sent = [(0, 10)]
    durable = [(0, 200), (2 * MILLISECOND, 210)]
    assert distance(sent, durable, already_durable=200).p50 == 2.0


def test_the_slowest_events_are_in_the_distribution() -> None:
    """One in a thousand that took long shows behind the 99.9th percentile, and one in 500 in it."""
    assert Distribution.of([1.0] * 999 + [700.0]).p999 == 1.0
    found = Distribution.of([1.0] * 998 + [700.0] * 2)
    assert (found.p99, found.p999, found.maximum) == (1.0, 700.0, 700.0)


def test_a_time_is_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    found = Distribution.of([BOUNDS_MS[0], BOUNDS_MS[3], BOUNDS_MS[3] + 0.01, 1e9])
    assert {at: count for at, count in enumerate(found.buckets) if count} == {
        0: 1,
        3: 1,
        4: 1,
        len(BOUNDS_MS): 1,
    }


def test_the_tables_of_a_distribution_say_all_of_it() -> None:
    named = [("idle", Distribution.of([1.0, 3.0])), ("busy", Distribution.of([3.0] * 4))]
    rows = histogram(named).splitlines()
    assert rows[2:] == ["| to 1 ms | 50.00% | 0.00% |", "| to 5 ms | 50.00% | 100.00% |"]
    head, _, *lines = percentiles("load", named).splitlines()
    assert head.count("|") == lines[0].count("|")
    assert lines[1] == "| busy | 4 | 3.0 | 3.0 | 3.0 | 3.0 | 3.0 | 3.0 |"


def test_a_count_that_goes_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="backwards"):
        distance([(0, 2), (1, 1)], [(0, 2)], already_durable=0)


def test_the_curve_ends_with_the_block() -> None:
    """What happens after the last turn of the sampler is not missed."""
    count = 0
    with Sampler(lambda: count) as sampler:
        count = 7
    assert sampler.curve[-1][1] == 7


def test_the_timeline_of_the_generator_is_read(tmp_path: Path) -> None:
    file = tmp_path / "timeline"
    file.write_text("100 1\n200 3\n")
    assert read_curve(file) == [(100, 1), (200, 3)]
