"""Sockets of the server, over the real kernel."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import structlog

from ingest import sockets
from ingest.contract import ListenerKind
from ingest.errors import BootError
from ingest.sockets import SocketGroup

BUFFER_BYTES = 1 << 20
NOBODY = 65534


@contextmanager
def bound(kind: ListenerKind, address: str, slots: int) -> Iterator[SocketGroup]:
    """Bind a group for the time of a test."""
    with closing(
        sockets.bind_group(kind, address, slots, receive_buffer_bytes=BUFFER_BYTES)
    ) as group:
        yield group


def port_of(address: str) -> int:
    """Return the port of `host:port`."""
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_port_zero_is_chosen_once_for_all_slots(kind: ListenerKind, host: str) -> None:
    """Four sockets, one address, and the real port is known."""
    with bound(kind, f"{host}:0", 4) as group:
        ports = {one.getsockname()[1] for one in group.sockets}
        assert len(group.sockets) == 4
        assert ports == {port_of(group.address)}
        assert 0 not in ports


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """So that host and port can be told apart again."""
    with bound("tcp", "[::1]:0", 1) as group:
        assert group.address.startswith("[::1]:")


def test_the_ipv6_wildcard_stands_beside_the_ipv4_one() -> None:
    """A listener takes the address it names and no other."""
    with (
        bound("tcp", "0.0.0.0:0", 1) as four,
        bound("tcp", f"[::]:{port_of(four.address)}", 1) as six,
    ):
        assert port_of(four.address) == port_of(six.address)


def test_datagrams_of_one_sender_reach_every_slot() -> None:
    """The steering program spreads what the kernel's hash would give to one socket alone."""
    with bound("udp", "127.0.0.1:0", 4) as group:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(400):
                sender.sendto(b"{}", ("127.0.0.1", port_of(group.address)))
        counts = [len(drain(one)) for one in group.sockets]
    assert sum(counts) == 400
    # With p = 1/4 each, fewer than 40 of 400 at one socket has a chance below 1e-12.
    assert min(counts) >= 40


def drain(datagrams: socket.socket) -> list[bytes]:
    """Read what a UDP socket holds."""
    datagrams.setblocking(False)
    received = []
    while True:
        try:
            received.append(datagrams.recv(65536))
        except BlockingIOError:
            return received


def test_a_connection_goes_only_to_a_slot_that_listens() -> None:
    """A worker that is not ready yet costs nobody a connection."""
    with bound("tcp", "127.0.0.1:0", 4) as group:
        group.sockets[2].listen(64)
        for _ in range(32):
            with socket.create_connection(("127.0.0.1", port_of(group.address)), timeout=5):
                accepted, _ = group.sockets[2].accept()
                accepted.close()


def test_nobody_can_connect_before_a_worker_listens() -> None:
    """Bound is not listening: nothing is accepted that nobody will read."""
    with bound("tcp", "127.0.0.1:0", 2) as group, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(group.address)), timeout=5)


def test_the_queue_survives_the_copy_that_listened() -> None:
    """As when a worker dies: its successor on the same socket finds connections and bytes."""
    with bound("tcp", "127.0.0.1:0", 1) as group:
        place = ("127.0.0.1", port_of(group.address))
        with socket.socket(fileno=os.dup(group.sockets[0].fileno())) as of_the_worker:
            of_the_worker.listen(64)
            first = socket.create_connection(place, timeout=5)
            first.sendall(b"before")
        with first, socket.create_connection(place, timeout=5) as second:
            second.sendall(b"after")
            found = []
            for _ in range(2):
                accepted, _ = group.sockets[0].accept()
                with accepted:
                    accepted.settimeout(5)
                    found.append(accepted.recv(64))
    assert found == [b"before", b"after"]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("shareable", [False, True], ids=["plain", "SO_REUSEPORT"])
def test_a_taken_port_is_refused(kind: ListenerKind, shareable: bool) -> None:
    """Also where the kernel would let us share it with another server of the same user."""
    transport = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, transport) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shareable))
        other.bind(("127.0.0.1", 0))
        if kind == "tcp":
            other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BootError) as refusal, bound(kind, address, 2):
            pass
    assert str(refusal.value) == f"cannot listen on {kind} {address}: address already in use"


def test_a_port_that_is_only_winding_down_is_not_taken() -> None:
    """A server can be restarted at once: connections in TIME_WAIT do not hold its port."""
    with bound("tcp", "127.0.0.1:0", 1) as group:
        address = group.address
        group.sockets[0].listen()
        with socket.create_connection(("127.0.0.1", port_of(address)), timeout=5) as sender:
            accepted, _ = group.sockets[0].accept()
            accepted.close()  # the side that closes first keeps the connection in TIME_WAIT
            assert sender.recv(1) == b""
    with bound("tcp", address, 1) as again:
        assert again.address == address


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:5140", os.strerror(errno.EADDRNOTAVAIL).lower()),
        ("no-such-host.invalid:5140", "name"),
    ],
)
def test_an_address_that_is_not_ours_is_refused(address: str, reason: str) -> None:
    """The message names the address and what the system says of it."""
    with pytest.raises(BootError) as refusal, bound("tcp", address, 1):
        pass
    assert str(refusal.value).startswith(f"cannot listen on tcp {address}: ")
    assert reason in str(refusal.value)


def test_the_receive_buffer_may_exceed_the_limit_of_the_system_where_allowed() -> None:
    """With the privilege for it, the server gets what it asks for."""
    if os.geteuid() != 0:
        pytest.skip("needs CAP_NET_ADMIN")
    wanted_bytes = 512 << 20
    with closing(
        sockets.bind_group("udp", "127.0.0.1:0", 2, receive_buffer_bytes=wanted_bytes)
    ) as group:
        for one in group.sockets:
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * wanted_bytes


def test_a_smaller_receive_buffer_is_said() -> None:
    """Without the privilege, the log names the setting of the system that is in the way."""
    with structlog.testing.capture_logs() as logged, unprivileged():
        sockets.bind_group("udp", "127.0.0.1:0", 1, receive_buffer_bytes=512 << 20).close()
    (warning,) = logged
    assert warning["log_level"] == "warning"
    assert "net.core.rmem_max" in warning["event"]
    assert 0 < warning["granted_bytes"] < warning["wanted_bytes"] == 512 << 20


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while, where we are root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_the_admin_socket_listens() -> None:
    """It is one socket, not a group, and a taken port is refused like any other."""
    opened, address = sockets.listen_on("127.0.0.1:0")
    with opened:
        socket.create_connection(("127.0.0.1", port_of(address)), timeout=5).close()
        with pytest.raises(BootError, match=f"tcp {address}: address already in use"):
            sockets.listen_on(address)
