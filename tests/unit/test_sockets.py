"""Sockets of the server, over the real kernel."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

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


def test_a_peer_that_vanished_is_found_in_minutes() -> None:
    """Accepted connections inherit the keep-alive of the socket that was bound."""
    with bound("tls", "127.0.0.1:0", 1) as group:
        group.sockets[0].listen()
        with socket.create_connection(("127.0.0.1", port_of(group.address)), timeout=5):
            accepted, _ = group.sockets[0].accept()
            with accepted:
                idle, interval, count = (
                    accepted.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                )
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert idle + interval * count <= 300


@pytest.mark.parametrize("kind", ["unix_stream", "unix_datagram"])
class TestUnixSockets:
    """Sockets with a path."""

    def test_only_those_whom_the_mode_allows_may_connect(
        self, tmp_path: Path, kind: ListenerKind
    ) -> None:
        """Whatever the umask is, and it is the same as before afterwards."""
        path = tmp_path / "socket"
        before = os.umask(0o077)
        try:
            with bound_at(kind, path, mode=0o606):
                assert stat.S_IMODE(path.stat().st_mode) == 0o606
            assert os.umask(0o077) == 0o077
        finally:
            os.umask(before)

    def test_every_slot_has_the_same_queue(self, tmp_path: Path, kind: ListenerKind) -> None:
        """A worker that stands still keeps nothing from being served by the others."""
        path = tmp_path / "socket"
        with bound_at(kind, path, slots=3) as group, socket.socket(socket.AF_UNIX) as sender:
            assert {one.getsockname() for one in group.sockets} == {str(path)}
            assert len({os.fstat(one.fileno()).st_ino for one in group.sockets}) == 1
            if kind == "unix_stream":
                group.sockets[1].listen()
                sender.connect(str(path))
                group.sockets[2].accept()[0].close()

    def test_the_file_is_removed_at_the_end(self, tmp_path: Path, kind: ListenerKind) -> None:
        """But not that of a server which has taken the place meanwhile."""
        path = tmp_path / "socket"
        with bound_at(kind, path) as first:
            path.unlink()
            with bound_at(kind, path):
                first.close()
                assert path.exists()
            assert not path.exists()

    def test_the_file_of_a_dead_server_is_replaced(
        self, tmp_path: Path, kind: ListenerKind
    ) -> None:
        """It could not remove it any more."""
        path = tmp_path / "socket"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with bound_at(kind, path):
            pass

    @pytest.mark.parametrize("other", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
    def test_the_socket_of_a_living_server_is_refused(
        self, tmp_path: Path, kind: ListenerKind, other: socket.SocketKind
    ) -> None:
        """Also where it is bound and does not listen yet."""
        path = tmp_path / "socket"
        words = kind.replace("_", " ")
        with socket.socket(socket.AF_UNIX, other) as alive:
            alive.bind(str(path))
            with pytest.raises(BootError) as refusal, bound_at(kind, path):
                pass
            assert path.exists()
        assert str(refusal.value) == f"cannot listen on {words} {path}: another server has it open"

    def test_a_file_of_another_kind_is_left_alone(self, tmp_path: Path, kind: ListenerKind) -> None:
        """It may be anything, such as a path with a slip."""
        path = tmp_path / "letters"
        path.write_text("dear")
        with pytest.raises(BootError, match="there is a file that is no socket"):
            sockets.bind_group(kind, str(path), 1, receive_buffer_bytes=BUFFER_BYTES)
        assert path.read_text() == "dear"

    def test_an_abstract_address_has_no_file(self, kind: ListenerKind) -> None:
        """It is free again with the last socket, and taken until then."""
        address = f"@ingest-test-{os.getpid()}-{kind}"
        words = kind.replace("_", " ")
        with bound(kind, address, 2) as group:
            assert group.sockets[1].getsockname() == b"\0" + address[1:].encode()
            with pytest.raises(BootError) as refusal, bound(kind, address, 1):
                pass
        assert str(refusal.value) == f"cannot listen on {words} {address}: address already in use"
        with bound(kind, address, 1):
            pass


@contextmanager
def bound_at(
    kind: ListenerKind, path: Path, *, slots: int = 1, mode: int = 0o660
) -> Iterator[SocketGroup]:
    """Bind a group to a path for the time of a test."""
    with closing(
        sockets.bind_group(kind, str(path), slots, receive_buffer_bytes=BUFFER_BYTES, mode=mode)
    ) as group:
        yield group


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
