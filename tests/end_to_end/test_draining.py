"""SIGTERM at any moment: whatever the server has got is on the disk before it exits with 0."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.load import Datagrams, Load, numbered_lines, numbers_by_connection
from tests.harness import Server, wait_until


@pytest.mark.parametrize("received", [1, 20_000])
def test_a_drain_under_load_stores_everything_received(received: int, tmp_path: Path) -> None:
    """Senders that do not stop do not keep the server from stopping, nor does it forget theirs."""
    with Server(tmp_path / "data") as server:
        with Load(server) as load:
            wait_until(lambda: server.status().ledger.received >= received)
            assert server.stop() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert ledger.received >= received
        assert ledger.received == ledger.journaled + ledger.dead_lettered
        assert (ledger.in_flight, ledger.closed) == (0, True)
        load.assert_stored(server.data_dir, ledger.journaled, ledger.dead_lettered)


def test_a_drain_is_not_held_up_by_datagrams_that_do_not_stop(tmp_path: Path) -> None:
    """Nothing slows a UDP sender down, so the end of its stream cannot be waited for."""
    with Server(tmp_path / "data") as server:
        with Datagrams(server):
            wait_until(lambda: server.status().ledger.received >= 1_000)
            assert server.stop() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert ledger.received == ledger.journaled == len(stored.events(server.data_dir))


def test_what_the_kernel_held_when_the_signal_came_is_stored(tmp_path: Path) -> None:
    """Sent before the stop is stored, though no worker had even accepted the connection."""
    with Server(tmp_path / "data") as server:
        workers = [server.worker_pid(0) or 0, server.worker_pid(1) or 0]
        with server.connect() as accepted:
            accepted.sendall(b'{"connection":99,"number":0}\n')
            server.settle(1)
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            accepted.sendall(b'{"connection":99,"number":1}\n{"connection":99,"number":2}')
        for name in range(20):
            server.send_lines(*numbered_lines(name, 0, 1000))
        server.send_datagrams(b'{"connection":100,"number":0}', count=50)
        server.signal(signal.SIGTERM)
        wait_until(lambda: "Stopping." in server.log())
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert server.wait() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert ledger.received == ledger.journaled == 20 * 1000 + 3 + 50
        found = numbers_by_connection(stored.events(server.data_dir))
        assert found.pop(99) == [0, 1, 2]
        assert found.pop(100) == [0] * 50
        assert found == {name: list(range(1000)) for name in range(20)}
