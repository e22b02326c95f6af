"""A configuration is read again, and workers are replaced, while the server works."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import ExitStatus
from tests.end_to_end.reloading import (
    MORE,
    ONLY_ERRORS,
    PLAIN,
    TCP,
    UDP,
    ReloadingServer,
    gated,
    waiting,
)
from tests.end_to_end.steady import SteadySenders
from tests.harness import PATIENCE_SECONDS, is_running, wait_until

INFO = b'{"level":"INFO","message":"hello"}'
MASKED = {**PLAIN, "redactors": ["field_mask"]}
SENDERS = 16
"""The kernel gives so many connections to both of two workers, but for one time in 30,000."""


def send(address: tuple[str, int], line: bytes = INFO) -> None:
    """Send a line over a connection of its own."""
    with socket.create_connection(address, PATIENCE_SECONDS) as connection:
        connection.sendall(line + b"\n")


def configurations(server: ReloadingServer) -> list[int]:
    """Return the number of each worker's configuration."""
    slots = range(server.region.workers)
    return [server.region.get(slot, "ingest_worker_configuration") for slot in slots]


def taking_over(server: ReloadingServer, asked: signal.Signals) -> int:
    """Ask for replacements; return the first successor, told to go on and stopped before it can."""
    worker, before = server.pids()[0], server.children()
    os.kill(worker, signal.SIGSTOP)
    server.signal(asked)
    wait_until(lambda: server.region.get(0, "ingest_worker_standby"))
    (successor,) = server.children() - before
    os.kill(successor, signal.SIGSTOP)
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: server.region.get(0, "ingest_worker_pid") == successor)
    return successor


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Say whether a signal waits for a process to go on."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^ShdPnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert found is not None
    return bool(int(found[1], 16) >> (number - 1) & 1)


def names(server: ReloadingServer) -> list[str]:
    """Return the listeners that other commands find."""
    return [listener.name for listener in server.running().listeners]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pipeline": {"filters": ["no_such_filter"]}}, "no_such_filter"),
        ({"listeners": [TCP, {**UDP, "address": "nowhere"}]}, "listeners"),
        ({"supervision": {"drain_timeout": "7s"}}, "supervision: a change needs a restart"),
        ({"listeners": [TCP, {**TCP, "name": "datagrams"}]}, "datagrams is of the kind udp"),
        ({"listeners": [TCP, {**UDP, "gro": True}]}, "datagrams: a change of gro needs a restart"),
        ({"listeners": [TCP, *({**MORE, "name": f"m{at}"} for at in range(20))]}, "no room for"),
    ],
    ids=["stage", "address", "fixed", "kind", "socket", "room"],
)
def test_what_cannot_be_put_in_force_changes_nothing(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """The reason is said, to whoever asked and to whoever looks; the workers are the same."""
    with ReloadingServer(tmp_path) as server:
        pids, listeners = server.pids(), server.running().listeners
        server.configure(**changes)
        asked = server.reload()
        assert asked.returncode == ExitStatus.CONFIGURATION
        assert said in asked.stderr.decode()
        assert "nothing has changed" in server.log()
        assert (server.pids(), server.running().listeners) == (pids, listeners)
        last = server.status().last_reload
        assert last is not None
        assert last.result == "refused"
        assert said in last.message
        assert server.reloads("refused") == 1
        assert server.region.get(None, "ingest_last_reload_successful") == 0
        send(server.address("tcp"))
        server.settle(1)


def test_a_file_without_bottom_changes_nothing(tmp_path: Path) -> None:
    """It is refused like any other, although reading it exhausts the reader."""
    with ReloadingServer(tmp_path) as server:
        server.file.write_text(f"data_dir = {'[' * 20_000}")
        asked = server.reload()
        assert asked.returncode == ExitStatus.CONFIGURATION
        assert b"nests lists or tables too deeply" in asked.stderr
        send(server.address("tcp"))
        server.settle(1)


def test_a_taken_address_changes_nothing(tmp_path: Path) -> None:
    """Of several new listeners, those that could be bound are given up again."""
    with ReloadingServer(tmp_path) as server, socket.socket() as other, socket.socket() as free:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
        free.close()
        first = {**MORE, "address": "{}:{}".format(*place)}
        server.configure(listeners=[TCP, UDP, first, {**MORE, "name": "x", "address": taken}])
        asked = server.reload()
        assert asked.returncode == ExitStatus.CONFIGURATION
        assert asked.stderr.decode().strip() == (
            f"refused: cannot listen on tcp {taken}: address already in use"
        )
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
        assert names(server) == ["in", "datagrams"]


def test_what_says_nothing_new_replaces_nobody(tmp_path: Path) -> None:
    """Also where the file was written anew."""
    with ReloadingServer(tmp_path) as server:
        pids = server.pids()
        asked = server.configure().reload()
        assert asked.returncode == ExitStatus.CLEAN
        assert asked.stdout.startswith(b"unchanged: ")
        assert server.pids() == pids
        assert server.region.get(None, "ingest_last_reload_successful") == 1


def test_a_changed_pipeline_is_in_force_on_every_worker(tmp_path: Path) -> None:
    """Each worker is replaced once, and what was counted before still is."""
    with ReloadingServer(tmp_path) as server:
        pids = server.pids()
        for _ in range(SENDERS):
            send(server.address("tcp"))
        server.settle(SENDERS)
        asked = server.configure(pipeline=ONLY_ERRORS).reload()
        assert asked.returncode == ExitStatus.CLEAN
        assert asked.stdout == b"applied: 2 workers were replaced\n"
        assert not set(pids) & set(server.pids())
        for _ in range(SENDERS):
            send(server.address("tcp"))
        ledger = server.settle(2 * SENDERS)
        assert (ledger.journaled, ledger.filtered) == (SENDERS, SENDERS)
        for worker in server.status().workers:
            assert (worker.generation, worker.restarts) == (2, 0)
            replaced = server.region.get(worker.index, "ingest_worker_replacements_total")
            assert replaced == 1
        (stage,) = server.status().stages
        assert (stage.name, stage.filtered) == ("level", SENDERS)
        assert server.stop() == ExitStatus.CLEAN


def test_stages_keep_their_counters_wherever_they_stand(tmp_path: Path) -> None:
    """A stage that moves in the pipeline is counted in its old place, a new one in a new place."""
    sampled = {**ONLY_ERRORS, "filters": ["sampling", "level"]}
    sampled["config"] = {**sampled["config"], "sampling": {"sample_rate": 0.0}}
    with ReloadingServer(tmp_path) as server:
        server.configure(pipeline=ONLY_ERRORS).reload()
        send(server.address("tcp"))
        server.settle(1)
        server.configure(pipeline=sampled).reload()
        send(server.address("tcp"))
        server.settle(2)
        stages = {stage.name: stage.filtered for stage in server.status().stages}
        assert stages == {"level": 1, "sampling": 1}
        assert server.configure().reload().returncode == ExitStatus.CLEAN
        send(server.address("tcp"))
        assert server.settle(3).filtered == 2


def test_an_added_listener_serves_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    """The others keep their sockets; one that comes back finds its counters again."""
    with ReloadingServer(tmp_path) as server:
        kept = server.address_of("in")
        assert server.configure(listeners=[TCP, MORE, UDP]).reload().returncode == 0
        assert names(server) == ["in", "datagrams", "more"]
        assert server.address_of("in") == kept
        more = server.address_of("more")
        for address in (kept, more):
            send(address)
        server.settle(2)

        assert server.configure(listeners=[TCP]).reload().returncode == 0
        assert names(server) == ["in"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(more)
        listeners = {one.name: one for one in server.status().listeners}
        assert [one.bound for one in listeners.values()] == [True, False, False]
        assert listeners["more"].received == 1

        again = {**MORE, "address": "{}:{}".format(*more)}
        assert server.configure(listeners=[again, TCP]).reload().returncode == 0
        send(more)
        server.settle(3)
        listeners = {one.name: one for one in server.status().listeners}
        assert listeners["more"].received == 2
        assert server.stop() == ExitStatus.CLEAN


def test_datagrams_are_counted_once_over_another_socket(tmp_path: Path) -> None:
    """The kernel counts its drops anew for a new socket; the listener's counter goes on."""
    with ReloadingServer(tmp_path) as server:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in server.pids():
                os.kill(pid, number)
            if number is signal.SIGSTOP:
                server.send_datagrams(b"x" * 60_000, count=1000)

        def dropped_and_counted() -> bool:
            ledger = server.status().ledger
            return ledger.received + ledger.kernel_dropped == 1000 and not ledger.in_flight

        wait_until(dropped_and_counted)
        first = server.status().ledger
        assert first.kernel_dropped
        for listeners in ([TCP], [TCP, UDP], [TCP, {**UDP, "name": "renamed"}]):
            assert server.configure(listeners=listeners).reload().returncode == 0
        server.send_datagrams(INFO)
        assert server.settle(first.received + 1).kernel_dropped == first.kernel_dropped


def test_a_connection_of_a_removed_listener_lives_on(tmp_path: Path) -> None:
    """Nobody can connect any more, but who is connected is served to the end."""
    with ReloadingServer(tmp_path) as server:
        assert server.configure(listeners=[TCP, MORE]).reload().returncode == 0
        address = server.address_of("more")
        with socket.create_connection(address, PATIENCE_SECONDS) as connection:
            connection.sendall(INFO + b"\n" + INFO[:10])
            server.settle(1)
            assert server.configure(listeners=[TCP]).reload().returncode == 0
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            connection.sendall(INFO[10:] + b"\n")
            assert server.settle(2).journaled == 2
        more = next(one for one in server.status().listeners if one.name == "more")
        assert more.received == 2
        wait_until(lambda: not server.status().workers[0].connections)


def test_workers_are_replaced_on_request(tmp_path: Path) -> None:
    """SIGUSR1 is for new versions of plugins: the configuration stays what it is."""
    with ReloadingServer(tmp_path) as server:
        pids = server.pids()
        send(server.address("tcp"))
        server.settle(1)
        server.signal(signal.SIGUSR1)
        wait_until(lambda: "Every worker was replaced." in server.log())
        assert not set(pids) & set(server.pids())
        assert not any(is_running(pid) for pid in pids)
        send(server.address("tcp"))
        server.settle(2)
        assert server.status().last_reload is None
        assert server.stop() == ExitStatus.CLEAN


def test_a_worker_stays_where_no_successor_starts(tmp_path: Path) -> None:
    """The first successor fails with its plugin; everything is as it was."""
    (tmp_path / "starts").write_text("0")
    with ReloadingServer(tmp_path) as server:
        pids = server.pids()
        asked = server.configure(pipeline=gated(tmp_path), listeners=[TCP, MORE]).reload()
        assert asked.returncode == ExitStatus.UNEXPECTED
        assert "worker 0 cannot be replaced" in asked.stderr.decode()
        assert "a plugin did not start, gated" in server.log()
        assert server.pids() == pids
        assert names(server) == ["in", "datagrams"]
        assert server.reloads("failed") == 1
        assert server.configure().reload().stdout.startswith(b"unchanged: ")


def test_workers_that_were_replaced_go_back(tmp_path: Path) -> None:
    """The second successor fails; then the first one is replaced by one of the old settings."""
    (tmp_path / "starts").write_text("1")
    with ReloadingServer(tmp_path) as server:
        pids = server.pids()
        server.configure(pipeline=gated(tmp_path), listeners=[TCP, MORE])
        assert server.reload().returncode == ExitStatus.UNEXPECTED
        now = server.pids()
        assert (now[0] == pids[0], now[1] == pids[1]) == (False, True)
        assert server.status().workers[0].generation == 3
        assert names(server) == ["in", "datagrams"]
        server.send_datagrams(INFO, count=SENDERS)
        ledger = server.settle(SENDERS)
        assert ledger.journaled == SENDERS
        assert sum(stage.events for stage in server.status().stages) == 0


def test_a_successor_that_does_not_stand_by_is_given_up(tmp_path: Path) -> None:
    """A start has a deadline, and the worker does not even notice."""
    (tmp_path / "closed").touch()
    patience = {"INGEST_SUPERVISION__START_TIMEOUT": "3s"}
    with ReloadingServer(tmp_path, environment=patience) as server:
        pids = server.pids()
        asked = server.configure(pipeline=gated(tmp_path)).reload()
        assert asked.returncode == ExitStatus.UNEXPECTED
        assert "does not stand by within 3 s" in server.log()
        assert server.pids() == pids
        assert not waiting(tmp_path)


def test_a_worker_that_dies_meanwhile_is_followed_by_its_successor(tmp_path: Path) -> None:
    """No other process is started beside the one that is being prepared."""
    (tmp_path / "closed").touch()
    with ReloadingServer(tmp_path) as server:
        pids = server.pids()
        server.configure(pipeline=gated(tmp_path)).signal(signal.SIGHUP)
        wait_until(lambda: waiting(tmp_path))
        (successor,) = waiting(tmp_path)
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: server.status().workers[0].state == "gone")
        (tmp_path / "closed").unlink()
        wait_until(lambda: server.reloads("applied"))
        assert server.pids()[0] == successor
        assert server.status().workers[0].generation == 2


def test_a_worker_that_does_not_hand_over_is_killed(tmp_path: Path) -> None:
    """The successor stands by already, and goes on where the worker stopped."""
    patience = {"INGEST_SUPERVISION__DRAIN_TIMEOUT": "500ms"}
    with ReloadingServer(tmp_path, environment=patience) as server:
        pids = server.pids()
        os.kill(pids[0], signal.SIGSTOP)
        server.signal(signal.SIGUSR1)
        wait_until(lambda: "Every worker was replaced." in server.log())
        assert "not handed over within 0.5 s" in server.log()
        assert not set(pids) & set(server.pids())
        server.send_datagrams(INFO, count=SENDERS)
        server.settle(SENDERS)


def test_the_server_can_be_stopped_while_a_worker_is_replaced(tmp_path: Path) -> None:
    """Worker and successor both end in order, and nothing stays behind."""
    (tmp_path / "closed").touch()
    with ReloadingServer(tmp_path) as server:
        server.configure(pipeline=gated(tmp_path)).signal(signal.SIGHUP)
        wait_until(lambda: waiting(tmp_path))
        send(server.address("tcp"))
        server.settle(1)
        processes = server.children()
        assert set(waiting(tmp_path)) < processes
        assert server.stop() == ExitStatus.CLEAN
        assert not any(is_running(pid) for pid in processes)


def test_a_successor_that_dies_as_it_takes_over_leaves_the_settings_as_they_were(
    tmp_path: Path,
) -> None:
    """Whoever fills the slot then is of the former configuration already."""
    with ReloadingServer(tmp_path) as server:
        numbers = configurations(server)
        server.configure(pipeline=ONLY_ERRORS)
        os.kill(taking_over(server, signal.SIGHUP), signal.SIGKILL)
        wait_until(lambda: server.reloads("failed"))
        wait_until(lambda: server.status().workers[0].state == "ready")
        assert configurations(server) == numbers
        assert server.status().workers[0].generation == 3
        server.send_datagrams(INFO, count=SENDERS)
        assert server.settle(SENDERS).journaled == SENDERS


def test_a_successor_that_takes_over_can_be_told_to_end(tmp_path: Path) -> None:
    """Even where it learns of both at once: it serves what waits for it, and ends in order."""
    with ReloadingServer(tmp_path) as server:
        successor = taking_over(server, signal.SIGUSR1)
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_pending(successor, signal.SIGTERM))
        os.kill(successor, signal.SIGCONT)
        assert server.wait() == ExitStatus.CLEAN
        assert "not ended in time" not in server.log()


def test_a_server_that_stops_loses_nothing_that_is_being_handed_over(tmp_path: Path) -> None:
    """The successor that stands by takes over, and what is no whole line ends as at any stop."""
    with ReloadingServer(tmp_path) as server, ExitStack() as opened:
        senders = [opened.enter_context(server.connect()) for _ in range(SENDERS)]
        for sender in senders:
            sender.sendall(INFO + b"\n" + INFO)
        server.settle(SENDERS)
        worker = server.pids()[0]
        os.kill(worker, signal.SIGSTOP)
        server.signal(signal.SIGUSR1)
        wait_until(lambda: is_pending(worker, signal.SIGUSR2))
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_pending(worker, signal.SIGTERM))
        os.kill(worker, signal.SIGCONT)
        assert server.wait() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert (ledger.received, ledger.closed) == (2 * SENDERS, True)


def test_what_is_asked_for_meanwhile_is_done_afterwards(tmp_path: Path) -> None:
    """However often it is asked for; in force is what the file says at the end."""
    (tmp_path / "closed").touch()
    with ReloadingServer(tmp_path) as server:
        server.configure(pipeline=gated(tmp_path)).signal(signal.SIGHUP)
        wait_until(lambda: waiting(tmp_path))
        server.configure(pipeline=ONLY_ERRORS)
        for count in (2, 3):
            server.signal(signal.SIGHUP)
            wait_until(lambda: server.region.get(None, "ingest_reload_requests") == count)  # noqa: B023
        (tmp_path / "closed").unlink()
        wait_until(lambda: server.region.get(None, "ingest_reload_answered") == 3)
        assert server.reloads("applied") == 2
        send(server.address("tcp"))
        assert server.settle(1).filtered == 1


def test_nobody_answers_where_no_server_runs(tmp_path: Path) -> None:
    """`ingest reload` says so."""
    with ReloadingServer(tmp_path) as server:
        server.stop()
        asked = server.reload()
        assert asked.returncode == ExitStatus.UNEXPECTED
        assert b"no server is running" in asked.stderr


def test_no_sender_notices_that_workers_are_replaced(tmp_path: Path) -> None:
    """Steady connections over several reloads: nothing reset, lost, doubled or out of order."""
    with ReloadingServer(tmp_path) as server, SteadySenders(server.address("tcp")) as senders:
        for times in range(1, 4):
            wait_until(partial(senders.have_sent, times * 2_000))
            server.configure(pipeline=MASKED if times % 2 else PLAIN)
            assert server.reload().stdout == b"applied: 2 workers were replaced\n"
        server.signal(signal.SIGUSR1)
        wait_until(lambda: "Every worker was replaced." in server.log())
        senders.stop()
        assert not senders.errors
        ledger = server.settle(senders.sent)
        assert ledger.journaled == senders.sent
        assert server.stop() == ExitStatus.CLEAN
    senders.assert_stored(tmp_path / "data")
