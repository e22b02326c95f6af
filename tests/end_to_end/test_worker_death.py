"""kill -9 at any moment: the service goes on, and what a worker had read is stored once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from ingest.counters import LedgerStatus
from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.load import Load
from tests.harness import Server, is_running, wait_until

REPLACEMENT_SECONDS = 1.0
"""Promised: a killed worker has a successor that accepts within this time."""

RARELY_SYNCED = {"INGEST_JOURNAL__SYNC_INTERVAL": "30s"}
OFTEN_KILLED = {
    "INGEST_SUPERVISION__BREAKER_FAILURES": "100",
    "INGEST_SUPERVISION__BACKOFF_MAXIMUM": "100ms",
}


@contextmanager
def prober(server: Server) -> Iterator[list[OSError]]:
    """Connect all the time, and note each failure to do so."""
    failures: list[OSError] = []
    stopped = threading.Event()

    def probe() -> None:
        while not stopped.wait(0.001):
            try:
                server.connect().close()
            except OSError as error:
                failures.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield failures
    finally:
        stopped.set()
        thread.join()


def kill_worker(server: Server, index: int) -> float:
    """Kill a worker; return how long it took until its successor accepted connections."""
    old = server.worker_pid(index)
    assert old
    os.kill(old, signal.SIGKILL)
    return wait_until(lambda: server.worker_pid(index) not in {None, old})


def assert_accounted_for(server: Server, load: Load) -> LedgerStatus:
    """Fail unless a stopped server lost nothing, and its ledger says what its journals hold."""
    ledger = server.status().ledger
    assert not any(ledger.lost.values())
    assert ledger.received == ledger.journaled + ledger.dead_lettered
    assert (ledger.in_flight, ledger.closed) == (0, True)
    load.assert_stored(server.data_dir, ledger.journaled, ledger.dead_lettered)
    return ledger


@pytest.mark.parametrize("received", [1, 20_000])
def test_a_worker_killed_under_load_is_replaced_within_a_second(
    received: int, tmp_path: Path
) -> None:
    """Nobody is refused, what was stored is intact, and what was read is stored."""
    with Server(tmp_path / "data") as server:
        with Load(server) as load, prober(server) as failures:
            wait_until(lambda: server.status().ledger.received >= received)
            assert kill_worker(server, 0) < REPLACEMENT_SECONDS
            generation_two = server.status().workers[0].received
            wait_until(lambda: server.status().workers[0].received > generation_two)
        assert not failures
        assert not load.refused
        assert server.stop() == ExitStatus.CLEAN
        assert_accounted_for(server, load)


def test_workers_killed_again_and_again_lose_count_of_nothing(tmp_path: Path) -> None:
    """Ten deaths, each at another moment and often before anything was stored since the last."""
    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server:
        with Load(server) as load, prober(server) as failures:
            for death in range(10):
                received = server.status().ledger.received + death * 500
                wait_until(lambda: server.status().ledger.received > received)  # noqa: B023
                kill_worker(server, death % 2)
                assert server.status().ledger.closed
        assert not failures
        assert not load.refused
        assert [worker.restarts for worker in server.status().workers] == [5, 5]
        server.stop()
        assert_accounted_for(server, load)


def test_what_was_received_and_not_yet_stored_is_stored_by_the_successor(tmp_path: Path) -> None:
    """A thousand events and ten bad lines that no sync had reached, once each."""
    with Server(tmp_path / "data", workers=1, environment=RARELY_SYNCED) as server:
        server.send_lines(*[b'{"message":"received"}'] * 1000, *[b"no event"] * 10)
        wait_until(lambda: server.status().ledger.received == 1010)
        before = server.status().ledger
        assert before.journaled + before.dead_lettered < 1010
        kill_worker(server, 0)
        ledger = server.status().ledger
        assert (ledger.received, ledger.closed) == (1010, True)
        assert server.stop() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert (ledger.journaled, ledger.dead_lettered) == (1000, 10)
        assert not any(ledger.lost.values())
        assert len(stored.events(server.data_dir)) == 1000
        assert len(stored.dead_letters(server.data_dir)) == 10


def test_a_torn_batch_is_cut_off_and_what_is_before_it_stays(tmp_path: Path) -> None:
    """Half a batch at the end of a segment, as a crash leaves it, costs only that batch."""
    data_dir = tmp_path / "data"
    with Server(data_dir, workers=1) as server:
        server.deliver(b'{"message":"whole"}\n' * 100, 100)
        server.deliver(b'{"message":"torn"}\n' * 100, 100)
        assert server.stop() == ExitStatus.CLEAN
    (segment,) = stored.segments(data_dir)
    segment.with_name("seals.ndjson").unlink()  # what crashes has not sealed it
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 7)
    with Server(data_dir, workers=1) as server:
        assert "The journal was repaired." in server.log()
        server.deliver(b'{"message":"after"}\n', 1)
        assert server.stop() == ExitStatus.CLEAN
    assert stored.events(data_dir) == [b'{"message":"whole"}'] * 100 + [b'{"message":"after"}']
    stored.assert_verified(data_dir)


def test_a_supervisor_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    """Its workers store what they have and end; the next server takes over and goes on."""
    data_dir = tmp_path / "data"
    with Server(data_dir) as server:
        with Load(server) as load:
            wait_until(lambda: server.status().ledger.journaled >= 5_000)
            pids = [worker.pid for worker in server.status().workers]
            server.kill()
            wait_until(lambda: not any(is_running(pid) for pid in pids if pid))
        ledger = assert_accounted_for(server, load)
        assert not any(ledger.lost.values())

    before = [len(stored.shards(data_dir, name)) for name in (JOURNAL_DIRECTORY, DEAD_DIRECTORY)]
    with Server(data_dir) as successor:
        assert successor.status().ledger.received == 0
        with Load(successor, senders=1) as more:
            wait_until(lambda: successor.status().ledger.journaled >= 1_000)
        assert successor.stop() == ExitStatus.CLEAN
        added = successor.status().ledger
    assert before == [2, 2]
    assert not more.refused
    assert len(stored.events(data_dir)) == ledger.journaled + added.journaled
    assert len(stored.dead_letters(data_dir)) == ledger.dead_lettered + added.dead_lettered
    stored.assert_verified(data_dir)
