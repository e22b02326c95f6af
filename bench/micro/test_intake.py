"""What a worker does with a body of events, in a worker of one process with its journal on disk.

Framing alone cannot be asked for: `cargo bench` has the parts of the crate. What is measured here
is the smallest thing around it, to hand in a body: frame, decode, and add to the journal's batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro import events
from bench.one_worker import OneWorker, one_worker

_LISTENER = 0
_ROUNDS = 200
_PIPELINE: dict[str, list[str]] = {"filters": [], "enrichers": [], "redactors": []}
_BODIES: dict[str, Callable[[], bytes]] = {
    "by_line": events.by_line,
    "by_octet_count": events.by_octet_count,
    "syslog_5424": events.syslog,
}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[OneWorker]:
    """Give a worker without stages."""
    settings: dict[str, Any] = {
        "listeners": [{"kind": "tcp", "address": "127.0.0.1:0"}],
        "pipeline": _PIPELINE,
    }
    with one_worker(None, tmp_path / "data", **settings) as (found, _):
        yield found


def _submit(worker: OneWorker, body: bytes) -> int:
    position = worker.shard.submit(_LISTENER, body)
    assert position is not None, "there is always room for one body"
    return position


def _make_durable(worker: OneWorker, position: int) -> None:
    worker.shard.sync_now()
    worker.run(worker.durability.reached(position))


def _measure(
    benchmark: BenchmarkFixture, work: Callable[[], None], setup: Callable[[], None] | None = None
) -> None:
    benchmark.pedantic(work, setup=setup, rounds=_ROUNDS)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("body", _BODIES)
def test_submit(body: str, worker: OneWorker, benchmark: BenchmarkFixture) -> None:
    """Frame and decode a batch into a journal that has nothing else to do."""
    text = _BODIES[body]()
    positions = [_submit(worker, text)]

    def rest() -> None:
        _make_durable(worker, positions[-1])

    _measure(benchmark, lambda: positions.append(_submit(worker, text)), setup=rest)
    received = worker.region.get(0, "ingest_events_received_total", listener=_LISTENER)
    assert received == len(positions) * events.COUNT


def test_journal_append(worker: OneWorker, benchmark: BenchmarkFixture) -> None:
    """The same until it is on the disk: the writer's part, and a sync."""
    text = events.by_line()
    _measure(benchmark, lambda: _make_durable(worker, _submit(worker, text)))
    journaled = worker.region.get(0, "ingest_events_journaled_total", listener=_LISTENER)
    assert journaled
    assert journaled % events.COUNT == 0
