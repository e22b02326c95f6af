"""Senders are held to the configured limits over all workers; the others do not notice."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from tests import stored
from tests.harness import PATIENCE_SECONDS, Server, wait_until

GOOD = b'{"message":"good"}'

CONFIGURATION = """
[[listeners]]
kind = "tcp"
address = "127.0.0.1:0"
deny = ["127.0.0.8/29"]
[listeners.limits]
source_connections = 5
frame_timeout = "400ms"

[[listeners]]
kind = "udp"
address = "127.0.0.1:0"
[listeners.limits]
source_events_per_second = 50
"""


def serve(tmp_path: Path, configuration: str) -> Server:
    """Return a server of two workers with this configuration."""
    file = tmp_path / "ingest.toml"
    file.write_text(configuration)
    return Server(tmp_path / "data", arguments=("--config", str(file)))


def connect_from(address: str, server: Server) -> socket.socket:
    """Connect from one of the many addresses that this machine has."""
    return socket.create_connection(server.address("tcp"), PATIENCE_SECONDS, (address, 0))


def is_closed(connection: socket.socket) -> bool:
    """Say whether the server has closed a connection."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(PATIENCE_SECONDS)


def total(server: Server, metric: str, label: str | None = None) -> int:
    """Add up a metric of the first listener over both workers."""
    return sum(server.region.get(slot, metric, listener=0, label=label) for slot in (0, 1))


def refused(server: Server, reason: str) -> int:
    """Return how many connections were refused for a reason."""
    return total(server, "ingest_connections_refused_total", reason)


def test_an_address_has_its_connections_over_all_workers(tmp_path: Path) -> None:
    """To the last one, also after a worker was killed, whose connections live on."""
    with serve(tmp_path, CONFIGURATION) as server, ExitStack() as stack:

        def connect(count: int) -> None:
            """Open connections, four of which are too many."""
            before = refused(server, "source_connections")
            opened = [stack.enter_context(connect_from("127.0.0.1", server)) for _ in range(count)]
            wait_until(lambda: refused(server, "source_connections") == before + 4)
            wait_until(lambda: total(server, "ingest_listener_connections") == 5)
            wait_until(
                lambda: (
                    total(server, "ingest_connections_opened_total")
                    == total(server, "ingest_connections_closed_total") + 5
                )
            )
            wait_until(lambda: sum(map(is_closed, opened)) == 4)

        connect(9)
        adopted = server.region.get(0, "ingest_connections_adopted_total")
        adopted += server.region.get(0, "ingest_connections")
        pid = server.worker_pid(0)
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.region.get(0, "ingest_connections_adopted_total") == adopted)
        connect(4)
        with connect_from("127.0.0.2", server) as other:
            other.sendall(GOOD + b"\n")
            server.settle(1)


def test_an_address_that_may_not_send_is_refused(tmp_path: Path) -> None:
    """It is closed at once and logged once, however often it comes."""
    with serve(tmp_path, CONFIGURATION) as server:
        for _ in range(20):
            with connect_from("127.0.0.9", server) as denied:
                wait_until(lambda: is_closed(denied))
        assert refused(server, "denied") == 20
        server.send_lines(GOOD)
        server.settle(1)
        logged = '"cause":"denied"'
        wait_until(lambda: logged in server.log().replace('": ', '":'))
        # Each worker logs for itself.
        assert server.log().replace('": ', '":').count(logged) <= 2


def test_a_slow_sender_is_closed_and_others_are_served(tmp_path: Path) -> None:
    """What it sent of its line is a dead letter that says so."""
    with serve(tmp_path, CONFIGURATION) as server:
        with server.connect() as slow, server.connect() as good:
            slow.sendall(b'{"slow":')
            sent = 0

            def expired() -> bool:
                """Say whether the slow one is closed; meanwhile the good one goes on."""
                nonlocal sent
                good.sendall(GOOD + b"\n")
                sent += 1
                return total(server, "ingest_connections_expired_total", "frame") == 1

            wait_until(expired)
            wait_until(lambda: is_closed(slow))
            ledger = server.settle(sent + 1)
            assert not is_closed(good)
        assert (ledger.journaled, ledger.dead_lettered) == (sent, 1)
        assert server.stop() == 0
    [letter] = stored.dead_letters(server.data_dir)
    assert (letter.reason, letter.raw) == ("incomplete_frame", '{"slow":')


def test_datagrams_beyond_the_rate_are_counted(tmp_path: Path) -> None:
    """Each of their events, over both workers, and other addresses are not held to account."""
    with serve(tmp_path, CONFIGURATION) as server:
        server.send_datagrams(GOOD + b"\n" + GOOD, count=200)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            other.sendto(GOOD, server.address("udp"))
        ledger = server.settle(401)
        assert ledger.dropped["rate_limited"] > 0
        assert ledger.journaled + ledger.dropped["rate_limited"] == 401
        assert ledger.journaled >= 51
