"""How a server ends, and what is left when it does."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import ExitStatus
from tests.harness import Server, is_running, wait_until

SHORT_DRAIN = {"INGEST_SUPERVISION__DRAIN_TIMEOUT": "500ms"}


def last_words(server: Server) -> dict[str, Any]:
    """Return the last line of the log."""
    words: dict[str, Any] = json.loads(server.log().splitlines()[-1])
    return words


def impatient_stop(server: Server) -> int:
    """Send SIGTERM again and again until the server has ended; return its exit status."""

    def ended() -> bool:
        server.signal(signal.SIGTERM)
        return server.exited()

    wait_until(ended)
    return server.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_the_server(number: signal.Signals, tmp_path: Path) -> None:
    """Everything that was sent is stored, the last line is the ledger, and nothing stays behind."""
    with Server(tmp_path / "data") as server:
        pids = [server.worker_pid(0), server.worker_pid(1)]
        for _ in range(10):
            server.send_lines(*[b'{"message":"before the end"}'] * 100)
        wait_until(lambda: server.status().ledger.received == 1000)
        server.signal(number)
        assert server.wait() == ExitStatus.CLEAN
        assert not any(is_running(pid) for pid in pids if pid)
        assert not (tmp_path / "data" / "server.json").exists()
        words = last_words(server)
        assert words["message"] == "Stopped."
        assert (words["received"], words["journaled"], words["in_flight"]) == (1000, 1000, 0)


def test_a_new_connection_is_refused_once_the_server_stops(tmp_path: Path) -> None:
    """Nobody is left waiting in the queue of a server that will not come back to it."""
    with Server(tmp_path / "data") as server:
        address = server.address("tcp")
        pids = [server.worker_pid(0), server.worker_pid(1)]
        server.stop()
        assert not any(is_running(pid) for pid in pids if pid)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_a_server_that_still_starts_can_be_stopped(tmp_path: Path) -> None:
    """Workers that do not yet listen to anybody are no reason to wait."""
    with Server(tmp_path / "data").launch() as server:
        wait_until(lambda: server.log().count("The process is started.") == 3)
        assert server.stop() == ExitStatus.CLEAN
        assert last_words(server)["message"] == "Stopped."
        assert "Traceback" not in server.log()


def test_a_terminal_speaks_to_the_supervisor_alone(tmp_path: Path) -> None:
    """Ctrl-C goes to every process of a group; what to do with workers is not for it to say."""
    with Server(tmp_path / "data") as server:
        groups = {os.getpgid(server.worker_pid(index) or 0) for index in range(2)}
        assert os.getpgid(server.pid) not in groups
        assert len(groups) == 2


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Workers that do not drain are killed, and what they left is settled."""
    with Server(tmp_path / "data") as server:
        for index in range(2):
            os.kill(server.worker_pid(index) or 0, signal.SIGSTOP)
        server.signal(signal.SIGTERM)
        assert impatient_stop(server) == ExitStatus.CLEAN
        assert last_words(server)["closed"]


def test_the_drain_has_a_deadline(tmp_path: Path) -> None:
    """Workers that do not drain in time are killed without a second signal."""
    with Server(tmp_path / "data", environment=SHORT_DRAIN) as server:
        for index in range(2):
            os.kill(server.worker_pid(index) or 0, signal.SIGSTOP)
        assert server.stop() == ExitStatus.CLEAN
        assert "not ended in time" in server.log()


def test_a_loss_shows_in_the_exit_status(tmp_path: Path) -> None:
    """Whatever was lost while the server ran, its end says so."""
    with Server(tmp_path / "data") as server:
        # As the successor of a worker that died with an event in its hands would count it.
        server.region.add(0, "ingest_events_received_total", 1, listener=0)
        server.region.add(0, "ingest_events_lost_total", 1, listener=0, label="worker_died")
        assert server.stop() == ExitStatus.LOST
        assert last_words(server)["lost"]["worker_died"] == 1


def test_workers_follow_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """They store what they have and end; the next server starts on the same directory at once."""
    with Server(tmp_path / "data") as server:
        pids = [server.worker_pid(0), server.worker_pid(1)]
        server.send_lines(*[b'{"message":"before the crash"}'] * 100)
        wait_until(lambda: server.status().ledger.received == 100)
        server.kill()
        with Server(tmp_path / "data") as successor:
            assert not any(is_running(pid) for pid in pids if pid)
            assert successor.stop() == ExitStatus.CLEAN
        assert server.status().ledger.journaled == 100


def test_a_server_waits_for_the_workers_of_its_predecessor(tmp_path: Path) -> None:
    """Two workers never write one journal: not even when the supervisor between them was killed."""
    with Server(tmp_path / "data", workers=1) as server:
        orphan = server.worker_pid(0) or 0
        os.kill(orphan, signal.SIGSTOP)
        server.kill()
        impatient = Server(tmp_path / "data", environment=SHORT_DRAIN)
        assert impatient.launch().wait() == ExitStatus.BOOT
        assert "workers of a server that died still work on" in impatient.log()
        with Server(tmp_path / "data").launch() as patient:
            wait_until(lambda: patient.log().count("Waiting for the workers of a server") == 2)
            os.kill(orphan, signal.SIGCONT)
            wait_until(patient.announced)
            assert not is_running(orphan)
            assert patient.stop() == ExitStatus.CLEAN
