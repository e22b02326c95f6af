"""Many connections at once: nothing is lost, nothing doubled, and each keeps its order."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from tests import stored
from tests.end_to_end.load import numbered_lines, numbers_by_connection
from tests.harness import Server

CONNECTIONS = 64
EVENTS_PER_CONNECTION = 200_000 // CONNECTIONS
SENDERS = 4


def send_in_pieces(server: Server, connections: range) -> None:
    """Send all events of some connections, in turns and in pieces that end anywhere in a line."""
    chance = random.Random(connections.start)
    with ExitStack() as stack:
        rest = {}
        for name in connections:
            lines = numbered_lines(name, 0, EVENTS_PER_CONNECTION)
            rest[stack.enter_context(server.connect())] = b"\n".join([*lines, b""])
        while rest:
            connection = chance.choice(list(rest))
            length = chance.randrange(1, 20_000)
            connection.sendall(rest[connection][:length])
            rest[connection] = rest[connection][length:]
            if not rest[connection]:
                del rest[connection]


def test_events_of_64_connections_are_stored_once_and_in_order(tmp_path: Path) -> None:
    """All 200,000 are there, and within its shard every connection has its order."""
    with Server(tmp_path / "data") as server:
        with ThreadPoolExecutor(SENDERS) as pool:
            share = CONNECTIONS // SENDERS
            for first in range(0, CONNECTIONS, share):
                pool.submit(send_in_pieces, server, range(first, first + share))
        ledger = server.settle(CONNECTIONS * EVENTS_PER_CONNECTION)
        assert ledger.journaled == ledger.received

        of_shards = [numbers_by_connection(lines) for lines in stored.shards(server.data_dir)]
        assert all(of_shards), "both workers had a part of the connections"
        for of_shard in of_shards:
            for numbers in of_shard.values():
                assert numbers == sorted(numbers)
        for name in range(CONNECTIONS):
            parts = (of_shard.get(name, []) for of_shard in of_shards)
            assert sorted(chain.from_iterable(parts)) == list(range(EVENTS_PER_CONNECTION))
