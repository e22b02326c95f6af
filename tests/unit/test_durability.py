"""Acknowledged means durable: what a source of a worker is told, by a shard with its journals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.one_worker import OneWorker, one_worker
from ingest.errors import NotDurableError
from ingest.receive import Durability
from tests import stored
from tests.harness import PATIENCE_SECONDS

LISTENER = 0
RARELY_SYNCED = {"sync_interval": "1m"}
NO_STAGES: dict[str, list[str]] = {"enrichers": [], "redactors": []}
IN_PYTHON = {"filters": ["level"], "enrichers": [], "redactors": [], "executor": "python"}


@contextmanager
def worker(tmp_path: Path, **settings: Any) -> Iterator[OneWorker]:  # noqa: ANN401 - as in a file
    given = {
        "listeners": [{"kind": "tcp", "address": "127.0.0.1:0"}],
        "admin": {"address": "127.0.0.1:0"},
        "pipeline": NO_STAGES,
    }
    with one_worker(None, tmp_path / "data", **{**given, **settings}) as (found, _):
        yield found


def line(number: int) -> bytes:
    return b'{"number":%d}\n' % number


async def until(fact: Callable[[], bool]) -> None:
    """Let the worker run until a fact is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fact():  # noqa: ASYNC110 - it is a counter in shared memory
            await asyncio.sleep(0.001)


def received(found: OneWorker) -> int:
    return found.region.get(0, "ingest_events_received_total", listener=LISTENER)


def journaled(found: OneWorker) -> int:
    return found.region.get(0, "ingest_events_journaled_total", listener=LISTENER)


@pytest.mark.parametrize("pipeline", [NO_STAGES, IN_PYTHON], ids=["native", "python"])
def test_whoever_is_told_finds_the_events_in_the_journal(pipeline: object, tmp_path: Path) -> None:
    """Every one of a hundred concurrent requests, at the moment when it is told."""
    with worker(tmp_path, pipeline=pipeline) as found:

        async def request(number: int) -> None:
            await found.durability.store(LISTENER, line(number), peer="192.0.2.1:80")
            lines = stored.events(found_data)
            assert any(b'"number":%d}' % number in each for each in lines)

        found_data = tmp_path / "data"

        async def all_requests() -> None:
            await asyncio.gather(*(request(number) for number in range(100)))

        found.run(asyncio.wait_for(all_requests(), PATIENCE_SECONDS))
        assert journaled(found) == 100
    assert len(stored.events(found_data)) == 100


def test_nobody_is_told_before_the_sync(tmp_path: Path) -> None:
    """With a minute to the sync a request waits, and all have their answer from the one sync."""
    with worker(tmp_path, journal=RARELY_SYNCED) as found:

        async def requests() -> None:
            waiting = [
                asyncio.ensure_future(found.durability.store(LISTENER, line(number)))
                for number in range(10)
            ]
            await until(lambda: received(found) == 10)
            assert journaled(found) == 0
            assert not any(each.done() for each in waiting)
            found.shard.sync_now()
            await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_SECONDS)

        found.run(requests())


def test_the_end_of_a_worker_answers_every_request(tmp_path: Path) -> None:
    """What was submitted is made durable at once and told; what comes then has an error."""
    with worker(tmp_path, journal=RARELY_SYNCED, pipeline=IN_PYTHON) as found:

        async def requests() -> None:
            waiting = [
                asyncio.ensure_future(found.durability.store(LISTENER, line(number)))
                for number in range(10)
            ]
            await asyncio.sleep(0)
            assert await found.durability.close(PATIENCE_SECONDS) == 0
            await asyncio.gather(*waiting)
            with pytest.raises(NotDurableError):
                await found.durability.store(LISTENER, line(10))

        found.run(requests())
    assert len(stored.events(tmp_path / "data")) == 10


def test_what_is_not_durable_in_time_has_an_error_and_no_acknowledgement(tmp_path: Path) -> None:
    """As where the disk does not answer: here nothing syncs, for the drain has no time at all."""
    with worker(tmp_path, journal=RARELY_SYNCED) as found:

        async def requests() -> None:
            waiting = asyncio.ensure_future(found.durability.store(LISTENER, line(1)))
            await asyncio.sleep(0)
            assert await found.durability.close(0.0) == 1
            with pytest.raises(NotDurableError):
                await waiting

        found.run(requests())


def test_requests_wait_while_there_is_no_room_and_none_is_lost(tmp_path: Path) -> None:
    """Far more than the journal may hold in memory, from requests and a connection at once."""
    requests, lines = 200, 300
    body = b'{"from":"request","padding":"%s"}\n' % (b"x" * 200) * lines
    journal = {"queue_bytes": "1MiB", "sync_interval": "1ms"}
    with worker(tmp_path, journal=journal) as found:

        async def all_requests() -> None:
            await asyncio.gather(*(found.durability.store(LISTENER, body) for _ in range(requests)))

        found.run(asyncio.wait_for(all_requests(), PATIENCE_SECONDS))
        assert journaled(found) == requests * lines
    assert len(stored.events(tmp_path / "data")) == requests * lines


def test_a_bound_number_of_requests_waits_and_those_who_give_up_leave_room(tmp_path: Path) -> None:
    with worker(tmp_path, journal=RARELY_SYNCED) as found:
        durability = Durability(found.intake, waiting_maximum=3)

        async def requests() -> None:
            waiting = [
                asyncio.ensure_future(durability.store(LISTENER, line(number)))
                for number in range(5)
            ]
            await until(lambda: received(found) == 3)
            waiting.pop(0).cancel()
            found.shard.sync_now()
            await until(lambda: received(found) == 5)
            assert all(each.done() for each in waiting[:2])
            found.shard.sync_now()
            await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_SECONDS)

        found.run(requests())
        assert journaled(found) == 5


def test_what_cannot_be_taken_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    with worker(tmp_path) as found:
        for listener, body, peer in ((7, b"{}\n", None), (0, b"{}\n", "nobody")):
            with pytest.raises(ValueError, match=r"listener 7|nobody"):
                found.run(found.durability.store(listener, body, peer=peer))
