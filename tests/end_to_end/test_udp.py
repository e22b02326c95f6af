"""Datagrams: shared by all workers, and those that the kernel had to drop are counted."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ingest.contract import JOURNAL_DIRECTORY
from tests import stored
from tests.end_to_end.load import numbered_lines, numbers_by_connection
from tests.harness import Server, run_command, wait_until

SMALL_BUFFER = {"INGEST_LIMITS__UDP_RECEIVE_BUFFER_BYTES": "16KiB"}
SENT = 3_000
NO_FLAGS = ("--log-level", "DEBUG")
"""No addresses: the environment has the listeners."""
BUNDLED = 32
"""Datagrams that a sender hands over in one system call."""
_UDP_SEGMENT = 103


def with_gro(*, enabled: bool) -> dict[str, str]:
    """Return the environment of a server whose UDP listener takes bundles, or does not."""
    listener = {"kind": "udp", "address": "127.0.0.1:0", "gro": enabled}
    return {"INGEST_LISTENERS": json.dumps([listener])}


def send_bundles(server: Server, lines: Sequence[bytes]) -> None:
    """Send a datagram for each line, many of them to a system call: so the kernel keeps them.

    All but the last are brought to one length, as the kernel wants it.
    """
    length = max(map(len, lines))
    padded = [line.ljust(length) for line in lines]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, length)
        for at in range(0, len(lines), BUNDLED):
            bundle = padded[at : at + BUNDLED]
            sender.sendto(b"".join([*bundle[:-1], bundle[-1].rstrip()]), server.address("udp"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("udp") / "data") as running:
        yield running


def accounted_for(server: Server) -> int:
    """Return how many datagrams, of one line each, were stored or dropped by the kernel."""
    ledger = server.status().ledger
    return ledger.journaled + ledger.kernel_dropped


def test_one_sender_keeps_every_worker_busy(server: Server) -> None:
    """The kernel alone would give all datagrams of a sender to the same worker."""
    before = server.status()
    server.send_datagrams(b'{"message":"one of many"}', count=1_000)
    server.settle(before.ledger.received + 1_000)
    after = server.status()
    for then, now in zip(before.workers, after.workers, strict=True):
        # Of 1,000 tosses of a coin, fewer than 300 heads come once in 10^37 attempts.
        assert now.received - then.received > 300
    udp = next(at for at, one in enumerate(after.listeners) if one.kind == "udp")
    assert after.listeners[udp].datagrams - before.listeners[udp].datagrams == 1_000


def test_datagrams_that_the_kernel_dropped_are_counted(tmp_path: Path) -> None:
    """Received and dropped make up exactly what was sent to workers that did not read."""
    with Server(tmp_path / "data", environment=SMALL_BUFFER) as server:
        workers = [server.worker_pid(0) or 0, server.worker_pid(1) or 0]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        for line in numbered_lines(0, 0, SENT):
            server.send_datagrams(line)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: accounted_for(server) == SENT)
        ledger = server.status().ledger
        assert ledger.kernel_dropped > 0
        assert ledger.received == ledger.journaled > 0
        assert (ledger.in_flight, ledger.closed) == (0, True)
        numbers = numbers_by_connection(stored.events(server.data_dir))[0]
        assert len(numbers) == len(set(numbers)) == ledger.journaled
        shown = run_command("status", "--data-dir", server.data_dir).stdout.decode()
        assert f"the kernel dropped {ledger.kernel_dropped:,} datagrams" in shown


def test_dropped_datagrams_are_counted_singly_where_the_sender_bundles_them(
    tmp_path: Path,
) -> None:
    """The kernel would count a bundle once, so unless asked to it keeps none."""
    environment = {**with_gro(enabled=False), **SMALL_BUFFER}
    with Server(tmp_path / "data", environment=environment, arguments=NO_FLAGS) as server:
        workers = [server.worker_pid(0) or 0, server.worker_pid(1) or 0]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        send_bundles(server, numbered_lines(0, 0, SENT))
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: accounted_for(server) == SENT)
        ledger = server.status().ledger
        assert ledger.kernel_dropped > 0
        numbers = numbers_by_connection(stored.events(server.data_dir))[0]
        assert len(numbers) == len(set(numbers)) == ledger.journaled == ledger.received


def test_bundles_are_taken_apart(tmp_path: Path) -> None:
    """With `gro`, datagrams are still events of their own, in order, and counted singly."""
    with Server(
        tmp_path / "data", workers=1, environment=with_gro(enabled=True), arguments=NO_FLAGS
    ) as server:
        for first in range(0, SENT, 10 * BUNDLED):
            count = min(10 * BUNDLED, SENT - first)
            send_bundles(server, numbered_lines(0, first, count))
            server.settle(first + count)
        (listener,) = server.status().listeners
        assert listener.datagrams == SENT
        # What one system call took was more than the datagrams that fit without bundles.
        assert 16 * server.region.get(0, "ingest_reads_total", listener=0) < SENT
    assert numbers_by_connection(stored.events(server.data_dir)) == {0: list(range(SENT))}


def test_the_receive_buffer_that_was_granted_is_a_metric(tmp_path: Path) -> None:
    """For each socket, as the kernel may grant less than was asked for."""
    with Server(tmp_path / "data", environment=SMALL_BUFFER) as server:
        udp = [one.kind for one in server.running().listeners].index("udp")
        metric = "ingest_udp_receive_buffer_bytes"
        for worker in range(2):
            wait_until(lambda: server.region.get(worker, metric, listener=udp) == 16 << 10)  # noqa: B023


def test_the_count_of_dropped_datagrams_survives_a_worker(tmp_path: Path) -> None:
    """The kernel counts for the socket, which lives on: nothing is counted again or forgotten."""
    with Server(tmp_path / "data", workers=1, environment=SMALL_BUFFER) as server:
        for sent in (SENT, 2 * SENT):
            pid = server.worker_pid(0) or 0
            os.kill(pid, signal.SIGSTOP)
            server.send_datagrams(b"{}", count=SENT)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: accounted_for(server) == sent)  # noqa: B023
            assert server.worker_pid(0) not in {None, pid}
            dropped = server.status().ledger.kernel_dropped
            assert 0 < dropped < sent
        assert server.status().ledger.closed


def test_the_longest_datagram_is_an_event(server: Server) -> None:
    """65,507 bytes is all that fits into one; `ingest send` says so of a line that does not."""
    longest = b'{"message":"' + b"x" * (65_507 - 14) + b'"}'
    journal = stored.Follower(server.data_dir, JOURNAL_DIRECTORY)
    before = server.status().ledger.received
    server.send_datagrams(longest)
    server.settle(before + 1)
    assert journal.new() == [longest]
    address = "{}:{}".format(*server.address("udp"))
    sent = run_command("send", "-", "--udp", address, stdin=longest + b" ")
    assert sent.returncode == 1
    assert sent.stderr == (
        b"ingest: a line is longer than a datagram can be, 65,507 bytes; use --tcp\n"
    )


def test_send_keeps_a_pace_that_the_server_can_follow(server: Server) -> None:
    """`ingest send --udp` at its default rate: every event is stored."""
    address = "{}:{}".format(*server.address("udp"))
    before = server.status().ledger
    assert run_command("send", "--count", 10_000, "--udp", address).returncode == 0
    ledger = server.settle(before.received + 10_000)
    assert ledger.journaled == before.journaled + 10_000
    assert ledger.kernel_dropped == before.kernel_dropped
