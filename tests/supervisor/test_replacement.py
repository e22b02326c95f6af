"""A worker that dies or hangs is replaced, and no sender notices."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ingest.errors import ExitStatus
from tests.harness import Server, is_running, wait_until

REPLACEMENT_SECONDS = 1.0
"""Promised: a killed worker has a successor that accepts within this time."""

IMPATIENT = {
    "INGEST_SUPERVISION__HEARTBEAT_INTERVAL": "50ms",
    "INGEST_SUPERVISION__HEARTBEAT_TIMEOUT": "1s",
}


def replaced(server: Server, index: int, old: int | None) -> bool:
    """Say whether the slot has a ready worker that is not the old one."""
    return server.worker_pid(index) not in {None, old}


def test_a_killed_worker_is_replaced_on_the_same_socket(tmp_path: Path) -> None:
    """Within a second, with no connection refused meanwhile and none of them forgotten."""
    with Server(tmp_path / "data", workers=1) as server:
        old = server.worker_pid(0)
        assert old
        os.kill(old, signal.SIGKILL)
        sent = 0

        def connect_until_replaced() -> bool:
            nonlocal sent
            server.send_lines(b'{"message":"while nobody accepts"}')
            sent += 1
            return replaced(server, 0, old)

        wait_until(connect_until_replaced, REPLACEMENT_SECONDS)
        wait_until(lambda: server.status().ledger.journaled == sent)
        worker = server.status().workers[0]
        assert (worker.generation, worker.restarts) == (2, 1)
        assert not worker.breaker_open
        assert server.stop() == ExitStatus.CLEAN


def test_datagrams_wait_for_the_successor(tmp_path: Path) -> None:
    """What the kernel holds for a dead worker is read by the next one."""
    with Server(tmp_path / "data", workers=1) as server:
        old = server.worker_pid(0)
        assert old
        os.kill(old, signal.SIGSTOP)  # it reads nothing more
        server.send_datagrams(b'{"message":"for the successor"}', count=50)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: server.status().ledger.journaled == 50)
        assert replaced(server, 0, old)


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """A stopped loop writes no heartbeat; the watchdog kills what it cannot ask to leave."""
    with Server(tmp_path / "data", environment=IMPATIENT) as server:
        old = server.worker_pid(1)
        neighbour = server.worker_pid(0)
        assert old
        os.kill(old, signal.SIGSTOP)
        wait_until(lambda: replaced(server, 1, old))
        assert not is_running(old)
        assert server.worker_pid(0) == neighbour, "only the one that hangs is replaced"
        assert "no heartbeat for 1 s" in server.log()


def test_a_worker_that_was_told_to_leave_is_replaced(tmp_path: Path) -> None:
    """A SIGTERM to one worker drains that worker; the server goes on with a new one."""
    with Server(tmp_path / "data") as server:
        old = server.worker_pid(0)
        assert old
        os.kill(old, signal.SIGTERM)
        wait_until(lambda: replaced(server, 0, old))
        assert server.stop() == ExitStatus.CLEAN


def test_nobody_is_replaced_because_the_machine_stood_still(tmp_path: Path) -> None:
    """After a pause of everything, the workers have the time to show life again."""
    with Server(tmp_path / "data", environment=IMPATIENT) as server:
        workers = [server.worker_pid(0), server.worker_pid(1)]
        everyone = [server.pid, *(pid for pid in workers if pid)]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        wait_until(lambda: time.monotonic() - stopped > 2.0)
        os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: "The machine stood still." in server.log())
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: server.status().ready)
        assert [server.worker_pid(0), server.worker_pid(1)] == workers


def test_a_worker_that_cannot_come_back_is_tried_at_intervals(tmp_path: Path) -> None:
    """The breaker opens, `status` shows it, and it closes by itself once the cause is gone."""
    environment = {
        "INGEST_SUPERVISION__BREAKER_FAILURES": "2",
        "INGEST_SUPERVISION__BACKOFF_MAXIMUM": "200ms",
    }
    with Server(tmp_path / "data", environment=environment) as server:
        shard = tmp_path / "data" / "journal" / "shard-0000"
        away = shard.rename(tmp_path / "away")
        shard.write_text("in the way")
        os.kill(server.worker_pid(0) or 0, signal.SIGKILL)
        wait_until(lambda: server.status().workers[0].breaker_open)
        wait_until(lambda: server.status().workers[0].generation > 3)
        assert server.status().workers[1].state == "ready"
        shard.unlink()
        away.rename(shard)
        wait_until(lambda: server.worker_pid(0))
        wait_until(lambda: not server.status().workers[0].breaker_open)
        assert server.stop() == ExitStatus.CLEAN


def test_the_cells_of_a_dead_process_are_cleared(tmp_path: Path) -> None:
    """Its id dies with the process; counts do not, nor connections, which wait for the next."""
    environment = {
        "INGEST_SUPERVISION__BREAKER_FAILURES": "1",
        "INGEST_SUPERVISION__BACKOFF_MAXIMUM": "1h",
    }
    with Server(tmp_path / "data", workers=1, environment=environment) as server:
        with server.connect() as connection:
            connection.sendall(b"{}\n")
            wait_until(lambda: server.status().workers[0].connections == 1)
            wait_until(lambda: server.status().ledger.journaled == 1)
            os.kill(server.status().workers[0].pid or 0, signal.SIGKILL)
            wait_until(lambda: server.status().workers[0].breaker_open)
        worker = server.status().workers[0]
        assert (worker.state, worker.pid, worker.connections) == ("gone", None, 1)
        assert worker.received == 1
        assert not server.status().ready


def test_ingestion_goes_on_without_the_admin_role(tmp_path: Path) -> None:
    """The admin process is replaced like a worker, and no worker cares."""
    with Server(tmp_path / "data") as server:
        workers = [server.worker_pid(0), server.worker_pid(1)]
        (old,) = admin_pids(server)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: admin_pids(server) and admin_pids(server) != [old])
        server.send_lines(b"{}")
        wait_until(lambda: server.status().ledger.journaled == 1)
        assert [server.worker_pid(0), server.worker_pid(1)] == workers


def admin_pids(server: Server) -> list[int]:
    """Find the admin role among the children of the supervisor."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"ingest.admin" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    ]
