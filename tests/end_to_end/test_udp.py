"""Datagrams: shared by all workers, and those that the kernel had to drop are counted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.contract import JOURNAL_DIRECTORY
from tests import stored
from tests.end_to_end.load import numbered_lines, numbers_by_connection
from tests.harness import Server, run_command, wait_until

SMALL_BUFFER = {"INGEST_LIMITS__UDP_RECEIVE_BUFFER_BYTES": "16KiB"}
SENT = 3_000


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
