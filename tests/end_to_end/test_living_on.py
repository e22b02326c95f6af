"""Connections live on when their worker is killed, and nobody who sends over one notices."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import ExitStatus
from tests import stored
from tests.certificates import Authority
from tests.end_to_end.load import numbered_lines
from tests.end_to_end.steady import SteadySenders
from tests.harness import PATIENCE_SECONDS, Server, is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OFTEN_KILLED = {
    "INGEST_SUPERVISION__BREAKER_FAILURES": "1000",
    "INGEST_SUPERVISION__BACKOFF_INITIAL": "1ms",
    "INGEST_SUPERVISION__BACKOFF_MAXIMUM": "10ms",
}
WITHOUT_HOLDERS = Path(__file__).with_name("without_holders.py")


def kill(server: Server, index: int) -> None:
    """Kill a worker that is ready, and wait until its successor is."""
    wait_until(lambda: server.worker_pid(index))
    old = server.worker_pid(index)
    assert old
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: server.worker_pid(index) not in {None, old})


def total(server: Server, metric: str, *, listener: int | None = None) -> int:
    """Return a counter, summed up over the workers."""
    slots = range(server.region.workers)
    return sum(server.region.get(slot, metric, listener=listener) for slot in slots)


def holder_pid(server: Server, index: int) -> int:
    """Return the process id of the holder of a worker, 0 where there is none."""
    return server.region.get(index, "ingest_worker_holder_pid")


def assert_connections(server: Server, opened: int, *, still_open: int = 0) -> None:
    """Fail unless the counters of connections become true: so many were opened, and none twice."""
    wait_until(lambda: total(server, "ingest_connections") == still_open)
    assert total(server, "ingest_listener_connections", listener=0) == still_open
    listener = server.status().listeners[0]
    counted = (listener.connections_opened, listener.connections_closed)
    assert counted == (opened, opened - still_open)


def assert_nothing_lost(server: Server) -> None:
    """Fail unless the ledger of a server that is stopped is closed, with nothing in it lost."""
    ledger = server.status().ledger
    assert (ledger.in_flight, ledger.closed) == (0, True)
    assert not any(ledger.lost.values())


def test_nobody_notices_that_workers_are_killed(tmp_path: Path) -> None:
    """Again and again under load: no connection breaks, and every line is stored once."""
    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server:
        with SteadySenders(server.address("tcp"), connections=20) as senders:
            for death in range(10):
                sent = senders.sent
                wait_until(lambda: senders.have_sent(sent + 500))  # noqa: B023
                kill(server, death % 2)
        assert senders.errors == []
        assert_connections(server, 20)
        assert server.stop() == ExitStatus.CLEAN
        assert_nothing_lost(server)
        senders.assert_stored(server.data_dir)


def test_a_line_is_completed_after_the_death_of_its_reader(tmp_path: Path) -> None:
    """What was read of it is kept, what follows goes to the successor, and the line is one."""
    with Server(tmp_path / "data", workers=1) as server, server.connect() as connection:
        begun = b'{"message":"be'
        connection.sendall(b'{"message":"the first"}\n' + begun)
        wait_until(lambda: total(server, "ingest_partial_bytes") == len(begun))
        for part in (b"gun be", b"fore two de"):
            kill(server, 0)
            connection.sendall(part)
            begun += part
            wait_until(lambda: total(server, "ingest_partial_bytes") == len(begun))  # noqa: B023
        connection.sendall(b'aths"}\n')
        server.settle(2)
        assert_connections(server, 1, still_open=1)
        connection.close()
        assert_connections(server, 1)
        assert server.stop() == ExitStatus.CLEAN
        assert stored.events(server.data_dir) == [
            b'{"message":"the first"}',
            b'{"message":"begun before two deaths"}',
        ]


def test_a_connection_that_is_silent_lives_on(tmp_path: Path) -> None:
    """Also one from which nothing was read, through several deaths; then it is served."""
    with Server(tmp_path / "data", workers=1) as server, ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(300)]
        wait_until(lambda: total(server, "ingest_connections") == 300)
        for _ in range(3):
            kill(server, 0)
        assert_connections(server, 300, still_open=300)
        for connection in connections:
            connection.sendall(b"{}\n")
        server.settle(300)
        stack.close()
        assert_connections(server, 300)
        assert server.stop() == ExitStatus.CLEAN


def test_nobody_who_connects_meanwhile_is_reset(tmp_path: Path) -> None:
    """Each sends a line over a connection of its own, whatever worker dies while it is accepted."""
    failures: list[OSError] = []
    sent = [0] * 4
    stopped = threading.Event()

    def storm(number: int) -> None:
        while not stopped.is_set():
            try:
                with server.connect() as connection:
                    connection.sendall(b'{"message":"hello"}\n')
                    connection.shutdown(socket.SHUT_WR)
                    assert connection.recv(1) == b""
                sent[number] += 1
            except OSError as error:
                failures.append(error)

    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server:
        threads = [threading.Thread(target=storm, args=(number,)) for number in range(len(sent))]
        for thread in threads:
            thread.start()
        for death in range(10):
            before = sum(sent)
            wait_until(lambda: sum(sent) > before + 50 or failures)  # noqa: B023
            kill(server, death % 2)
        stopped.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert_connections(server, sum(sent))
        server.settle(sum(sent))
        assert server.stop() == ExitStatus.CLEAN
        assert_nothing_lost(server)


def test_what_is_on_its_way_to_a_worker_survives_both(tmp_path: Path) -> None:
    """Connections that lie in the inbox of a worker that stands still wait for its successor."""
    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server, ExitStack() as stack:
        still = server.worker_pid(1)
        assert still
        os.kill(still, signal.SIGSTOP)
        connections = [stack.enter_context(server.connect()) for _ in range(40)]
        for connection in connections:
            connection.sendall(b'{"message":"on its way"}\n')
        moved = "ingest_inbox_connections"
        wait_until(
            lambda: server.region.get(1, moved) or server.region.get(0, "ingest_connections")
        )
        os.kill(still, signal.SIGKILL)
        kill(server, 0)
        wait_until(lambda: server.worker_pid(1) not in {None, still})
        server.settle(40)
        assert_connections(server, 40, still_open=40)
        stack.close()
        assert server.stop() == ExitStatus.CLEAN
        assert_nothing_lost(server)


def test_workers_are_killed_while_they_are_replaced(tmp_path: Path) -> None:
    """At any point of a replacement, also the successor; the senders notice nothing."""
    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server:
        with SteadySenders(server.address("tcp"), connections=20) as senders:
            for round_ in range(6):
                sent = senders.sent
                wait_until(lambda: senders.have_sent(sent + 200))  # noqa: B023
                server.signal(signal.SIGUSR1)
                wait_until(lambda: total(server, "ingest_worker_standby"))
                for pid in [worker.pid for worker in server.status().workers][round_ % 2 :]:
                    if pid and is_running(pid):
                        os.kill(pid, signal.SIGKILL)
                wait_until(lambda: server.worker_pid(0) and server.worker_pid(1))
        assert senders.errors == []
        assert_connections(server, 20)
        assert server.stop() == ExitStatus.CLEAN
        assert_nothing_lost(server)
        senders.assert_stored(server.data_dir)


def test_workers_are_killed_while_they_take_turns(tmp_path: Path) -> None:
    """One fat sender goes from worker to worker all the time, and through every death."""
    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server:
        with server.connect() as connection, fat_sender(connection) as sent:
            wait_until(lambda: moved(server) > 0)
            for death in range(6):
                before = moved(server)
                wait_until(lambda: moved(server) > before)  # noqa: B023
                kill(server, death % 2)
        server.settle(sent[0])
        assert_connections(server, 1)
        assert server.stop() == ExitStatus.CLEAN
        assert_nothing_lost(server)
        lines = b"\n".join(stored.events(server.data_dir)).count(b'"number"')
        assert lines == len(set(stored.events(server.data_dir))) == sent[0]


def moved(server: Server) -> int:
    """Return how often connections took turns."""
    slots, metric = range(server.region.workers), "ingest_connections_moved_total"
    return sum(server.region.get(slot, metric, label="rotation") for slot in slots)


@contextmanager
def fat_sender(connection: socket.socket) -> Iterator[list[int]]:
    """Send as fast as it goes while the block runs; give how many lines that were."""
    sent, stopped = [0], threading.Event()

    def send() -> None:
        while not stopped.is_set():
            connection.sendall(b"\n".join([*numbered_lines(0, sent[0], 500), b""]))
            sent[0] += 500

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        stopped.set()
        thread.join()


def test_unix_streams_live_on(tmp_path: Path) -> None:
    """With what is known of who sends: the process and the user."""
    path = tmp_path / "stream.sock"
    listeners = json.dumps([{"kind": "unix", "address": str(path)}])
    server = Server(
        tmp_path / "data",
        workers=1,
        environment={"INGEST_LISTENERS": listeners},
        arguments=("--log-level", "DEBUG"),
        pipeline='{"enrichers":["origin"],"redactors":[]}',
    )
    with server, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(str(path))
        connection.sendall(b'{"message":"be')
        wait_until(lambda: total(server, "ingest_partial_bytes"))
        kill(server, 0)
        connection.sendall(b'fore and after"}\n')
        server.settle(1)
        (event,) = map(json.loads, stored.events(server.data_dir))
        assert event["message"] == "before and after"
        assert event["diagnostics"]["ingest"]["pid"] == os.getpid()
        assert_connections(server, 1, still_open=1)


def test_tls_dies_with_its_worker(tmp_path: Path) -> None:
    """Its keys do. It is cut and counted; one whose handshake had not begun goes on."""
    authority = Authority(tmp_path)
    issued = authority.issue("server", subject="/CN=localhost")
    files = {"certificate": str(issued.certificate), "key": str(issued.key)}
    tls = json.dumps([{"kind": "tls", "address": "127.0.0.1:0", "tls": files}])
    server = Server(
        tmp_path / "data",
        workers=1,
        environment={"INGEST_LISTENERS": tls},
        arguments=("--log-level", "DEBUG"),
    )
    context = ssl.create_default_context(cafile=str(authority.own.certificate))
    context.check_hostname = False
    with server, ExitStack() as stack:
        address = server.address("tls")
        begun, waiting = (
            stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS)) for _ in "ab"
        )
        secured = stack.enter_context(context.wrap_socket(begun))
        secured.sendall(b'{"message":"stored"}\n{"message":"inco')
        server.settle(1)
        wait_until(lambda: total(server, "ingest_connections") == 2)
        kill(server, 0)
        assert secured.recv(1) == b""
        successor = stack.enter_context(context.wrap_socket(waiting))
        successor.sendall(b'{"message":"after"}\n')
        ledger = server.settle(3)
        assert (ledger.journaled, ledger.dead_lettered) == (2, 1)
        assert total(server, "ingest_connections_cut_total") == 1
        assert_connections(server, 2, still_open=1)
        assert server.stop() == ExitStatus.CLEAN


def test_a_worker_that_has_lost_its_holder_is_replaced(tmp_path: Path) -> None:
    """Its connections go to the successor, which has a holder; and nothing goes on and on."""
    with Server(tmp_path / "data", environment=OFTEN_KILLED) as server:
        with SteadySenders(server.address("tcp")) as senders:
            for index in (0, 1, 0):
                wait_until(lambda: senders.have_sent(100))
                worker, holder = server.worker_pid(index), holder_pid(server, index)
                assert worker
                assert is_running(holder)
                os.kill(holder, signal.SIGKILL)
                wait_until(lambda: server.worker_pid(index) not in {None, worker})  # noqa: B023
                wait_until(lambda: is_running(holder_pid(server, index)))  # noqa: B023
                assert not is_running(worker)
            kill(server, 0)
        assert [worker.restarts for worker in server.status().workers] == [1, 0]
        assert senders.errors == []
        assert server.stop() == ExitStatus.CLEAN
        assert_nothing_lost(server)
        senders.assert_stored(server.data_dir)


def test_connections_of_a_worker_killed_with_its_holder_are_counted(tmp_path: Path) -> None:
    """Nobody could keep them: they break, and the counters say so."""
    with Server(tmp_path / "data", workers=1) as server, server.connect() as connection:
        connection.sendall(b'{"message":"stored"}\n{"message":"inco')
        wait_until(lambda: total(server, "ingest_partial_bytes"))
        worker, holder = server.worker_pid(0), holder_pid(server, 0)
        assert worker
        os.kill(holder, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        os.kill(holder, signal.SIGKILL)
        wait_until(lambda: server.worker_pid(0) not in {None, worker})
        assert connection.recv(1) == b""
        assert_connections(server, 1)
        assert total(server, "ingest_connections_cut_total") == 1
        ledger = server.settle(2)
        assert (ledger.journaled, ledger.dead_lettered) == (1, 1)
        (letter,) = stored.dead_letters(server.data_dir)
        assert (letter.reason, letter.line) == ("incomplete_frame", b'{"message":"inco')
        assert server.stop() == ExitStatus.CLEAN


def test_a_machine_may_forbid_holders(tmp_path: Path) -> None:
    """The server says so once and works; a worker that is killed costs its connections."""
    wrapper = (sys.executable, str(WITHOUT_HOLDERS))
    with Server(tmp_path / "data", environment=OFTEN_KILLED, wrapper=wrapper) as server:
        assert [holder_pid(server, index) for index in (0, 1)] == [0, 0]
        workers = [server.worker_pid(0), server.worker_pid(1)]
        server.deliver(b'{"message":"stored"}\n' * 100, 100)
        kill(server, 0)
        assert server.worker_pid(1) == workers[1]
        server.deliver(b'{"message":"stored"}\n' * 100, 100)
        assert server.log().count("nobody can hold them") == 1
        assert server.status().workers[0].generation == 2
        assert server.stop() == ExitStatus.CLEAN


def test_no_holder_outlives_the_server(tmp_path: Path) -> None:
    """Drained or killed: when the workers are gone, so are their holders."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        with Server(tmp_path / f"data-{end}") as server, server.connect():
            holders = [holder_pid(server, index) for index in (0, 1)]
            assert all(map(is_running, holders))
            server.signal(end)
            server.wait()
            wait_until(lambda: not any(map(is_running, holders)))  # noqa: B023
