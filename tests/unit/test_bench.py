"""How the benchmark turns two curves into a latency, and refuses curves that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.latency import Latency, Sampler, distance, read_curve

MILLISECOND = 1_000_000


def test_latency_is_the_distance_between_the_curves() -> None:
    sent = [(0, 50), (10 * MILLISECOND, 100)]
    durable = [(5 * MILLISECOND, 50), (40 * MILLISECOND, 100)]
    assert distance(sent, durable, already_durable=0) == Latency(p50=30.0, p99=30.0, maximum=30.0)


def test_events_of_the_warm_up_are_not_counted() -> None:
    sent = [(0, 10)]
    durable = [(0, 200), (2 * MILLISECOND, 210)]
    assert distance(sent, durable, already_durable=200).p50 == 2.0


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
