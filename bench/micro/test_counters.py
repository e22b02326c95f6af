"""The shared region, as the roles use it: one cell, the sum of a listener, all that is exported."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ingest._native import Region

_WORKERS, _VALUE = 8, 7
_METRIC = "ingest_events_received_total"


@pytest.fixture
def region() -> Region:
    """Return a region of a server of some size."""
    return Region.create(_WORKERS, ["tcp", "udp", "tls"], ["level", "origin", "field_mask"], b"")


def test_add(region: Region, benchmark: BenchmarkFixture) -> None:
    """Count an event in one cell."""
    benchmark(lambda: region.add(0, _METRIC, listener=0))
    assert region.get(0, _METRIC, listener=0)


def test_get(region: Region, benchmark: BenchmarkFixture) -> None:
    """Read one cell."""
    region.set(0, _METRIC, _VALUE, listener=0)
    assert benchmark(lambda: region.get(0, _METRIC, listener=0)) == _VALUE


def test_ledger(region: Region, benchmark: BenchmarkFixture) -> None:
    """Read the sum of one worker and listener."""
    assert benchmark(lambda: region.ledger(0, 0)).closed


def test_samples(region: Region, benchmark: BenchmarkFixture) -> None:
    """Read every public cell, which is what a scrape asks for."""
    assert benchmark(region.samples)
