"""Stopped, orphaned or killed while plugins have events in their hands: all are accounted for."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.mischief import Gate
from tests.end_to_end.plugin_servers import PATIENT, all_kinds, line, plugin_server, table
from tests.harness import Server, is_running, wait_until

COUNT = 500
POLICY = {"budget": PATIENT, "fail": "closed"}
MANY_BEATS = 0.2
"""In seconds; a test server's heart beats ten times as often."""


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Return a gate that is closed."""
    return Gate(str(tmp_path / "gate"))


def held_lines(tmp_path: Path, deed: str = "gate", at: str = "enricher") -> list[bytes]:
    """Return events, one of which is held in a plugin until the gate is opened."""
    lines = [line(number) for number in range(COUNT)]
    lines[COUNT // 2] = line(COUNT // 2, at=at, do=deed, gate=str(tmp_path / "gate"))
    return lines


def hold(server: Server, lines: list[bytes], gate: Gate) -> None:
    """Send events; return when a plugin has them in its hands, and has come to the one it holds."""
    server.send_lines(*lines)
    wait_until(gate.is_entered)
    wait_until(lambda: server.status().ledger.in_flight == server.status().ledger.received)
    assert server.status().ledger.closed
    assert server.status().ledger.journaled == 0


def numbers(server: Server) -> list[int]:
    """Return the numbers of all stored events, in their order."""
    return [json.loads(event)["number"] for event in stored.events(server.data_dir)]


@pytest.mark.parametrize("deed", ["gate", "block"])
def test_what_a_plugin_has_in_its_hands_is_stored_before_the_exit(
    deed: str, gate: Gate, tmp_path: Path
) -> None:
    """With what the kernel holds behind it, whether the plugin lets the loop turn or not.

    Service managers signal every process of a server, and once more after ours has done so.
    """
    with plugin_server(tmp_path / "data", all_kinds(POLICY)) as server:
        worker = server.worker_pid(0) or 0
        with server.connect() as connection:
            hold(server, held_lines(tmp_path, deed), gate)
            connection.sendall(b"".join(line(COUNT + at) + b"\n" for at in range(COUNT)))
            server.send_datagrams(line(2 * COUNT, at="filter", do="suspend"), count=1)
        server.signal(signal.SIGTERM)
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: "Stopping." in server.log())
        if deed == "gate":
            wait_until(lambda: server.status().workers[0].state == "draining")
        os.kill(worker, signal.SIGTERM)
        gate.open()
        assert server.wait() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert ledger.received == ledger.journaled == 2 * COUNT + 1
        assert (ledger.in_flight, ledger.closed) == (0, True)
        assert numbers(server) == list(range(2 * COUNT + 1))


def test_a_plugin_that_exits_in_the_drain_keeps_nothing_from_being_stored(
    gate: Gate, tmp_path: Path
) -> None:
    """Neither the batch that it has in its hands nor those that the kernel holds."""
    pipeline = table(filters=["mischief:Quitter"], policy=POLICY)
    with plugin_server(tmp_path / "data", pipeline) as server:
        hold(server, held_lines(tmp_path), gate)
        server.signal(signal.SIGTERM)
        wait_until(lambda: server.status().workers[0].state == "draining")
        gate.open()
        assert server.wait() == ExitStatus.CLEAN
        assert numbers(server) == list(range(COUNT))
        assert "A plugin wanted the worker to exit." in server.log()


def test_plugins_work_on_what_is_read_in_the_drain_for_as_long_as_they_may(
    gate: Gate, tmp_path: Path
) -> None:
    """Far longer than a heartbeat, after which the worker has nothing left to show it with."""
    with plugin_server(tmp_path / "data", all_kinds(POLICY)) as server:
        worker = server.worker_pid(0) or 0
        os.kill(worker, signal.SIGSTOP)
        server.send_lines(*held_lines(tmp_path))
        server.signal(signal.SIGTERM)
        wait_until(lambda: "Stopping." in server.log())
        os.kill(worker, signal.SIGCONT)
        wait_until(gate.is_entered)
        wait_until(lambda: server.status().workers[0].state == "draining")
        beat = server.region.get(0, "ingest_worker_heartbeat_ns")
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: (server.status().workers[0].heartbeat_age_seconds or 0) > MANY_BEATS)
        assert server.region.get(0, "ingest_worker_heartbeat_ns") == beat
        gate.open()
        assert server.wait() == ExitStatus.CLEAN
        assert numbers(server) == list(range(COUNT))


@pytest.mark.parametrize("deed", ["wait", "block"])
def test_a_plugin_that_never_ends_does_not_keep_the_server_from_stopping(
    deed: str, gate: Gate, tmp_path: Path
) -> None:
    """What it had in its hands is counted as lost, all else is stored; the exit status says so."""
    patience = {"INGEST_SUPERVISION__DRAIN_TIMEOUT": "2s"}
    with plugin_server(tmp_path / "data", all_kinds(POLICY), patience) as server:
        server.deliver(b"".join(line(at) + b"\n" for at in range(COUNT)), COUNT)
        if deed == "wait":
            server.send_lines(*held_lines(tmp_path, "gate"))
        else:
            server.send_lines(*held_lines(tmp_path, deed))
        wait_until(gate.is_entered)
        assert server.stop() == ExitStatus.LOST
        ledger = server.status().ledger
        assert (ledger.received, ledger.in_flight, ledger.closed) == (2 * COUNT, 0, True)
        assert (ledger.journaled, sum(ledger.lost.values())) == (COUNT, COUNT)
        cause = "drain_deadline" if deed == "wait" else "worker_died"
        assert ledger.lost[cause] == COUNT
        assert numbers(server) == list(range(COUNT))
        stored.assert_verified(server.data_dir)


def test_a_worker_without_a_supervisor_stores_what_its_plugins_have(
    gate: Gate, tmp_path: Path
) -> None:
    """Also when the supervisor dies in the middle of the drain."""
    with plugin_server(tmp_path / "data", all_kinds(POLICY)) as server:
        worker = server.worker_pid(0) or 0
        hold(server, held_lines(tmp_path), gate)
        server.signal(signal.SIGTERM)
        wait_until(lambda: server.status().workers[0].state == "draining")
        server.kill()
        gate.open()
        wait_until(lambda: not is_running(worker))
        ledger = server.status().ledger
        assert ledger.received == ledger.journaled == COUNT
        assert numbers(server) == list(range(COUNT))
        assert "The worker failed." not in server.log()


def test_events_in_the_hands_of_a_plugin_outlive_their_worker(gate: Gate, tmp_path: Path) -> None:
    """By kill -9: the successor has the plugin do its work again, and stores each event once."""
    pipeline = table(enrichers=["mischief:Enricher"], policy=POLICY)
    with plugin_server(tmp_path / "data", pipeline, restarts=1) as server:
        hold(server, held_lines(tmp_path), gate)
        worker = server.worker_pid(0) or 0
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.worker_pid(0) not in {None, worker})
        wait_until(lambda: server.status().ledger.in_flight == COUNT)
        assert server.status().ledger.received == COUNT
        gate.open()
        wait_until(lambda: server.status().ledger.journaled == COUNT)
        server.deliver(line(COUNT) + b"\n", 1)
        assert numbers(server) == list(range(COUNT + 1))
        assert not any(server.status().ledger.lost.values())
        assert server.stop() == ExitStatus.CLEAN
