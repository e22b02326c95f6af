"""A server that cannot start says why in one line, with a status of its own, and leaves nothing."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from ingest.errors import BootError, ExitStatus
from ingest.supervisor.data_directory import DataDirectory
from tests.harness import Server, wait_until

NOBODY = 65534


def refusal(server: Server) -> str:
    """Start a server that must not start; return the one line in which it says why."""
    assert server.launch().wait() == ExitStatus.BOOT
    (line,) = [line for line in server.log().splitlines() if line.startswith("ingest: ")]
    assert "Traceback" not in server.log()
    return line.removeprefix("ingest: ")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_taken_port(kind: str, tmp_path: Path) -> None:
    """The address is named, and nothing else is said."""
    transport = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, transport) as other:
        other.bind(("127.0.0.1", 0))
        if kind == "tcp":
            other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        server = Server(tmp_path / "data", arguments=[f"--{kind}", address])
        assert refusal(server) == f"cannot listen on {kind} {address}: address already in use"
        assert len(server.log().splitlines()) == 1


def test_the_port_of_another_server(tmp_path: Path) -> None:
    """Two servers of one user would share the port without noticing; the second is refused."""
    with Server(tmp_path / "one") as first:
        host, port = first.address("tcp")
        second = Server(tmp_path / "two", arguments=["--tcp", f"{host}:{port}"])
        assert refusal(second) == f"cannot listen on tcp {host}:{port}: address already in use"


def test_a_taken_admin_port(tmp_path: Path) -> None:
    """The admin address is refused like any other."""
    with Server(tmp_path / "one") as first:
        admin = first.running().admin
        second = Server(tmp_path / "two", arguments=["--tcp", "127.0.0.1:0", "--admin", str(admin)])
        assert refusal(second) == f"cannot listen on tcp {admin}: address already in use"


def test_the_data_directory_of_another_server(tmp_path: Path) -> None:
    """One server at a time works on a data directory; the other one is named."""
    with Server(tmp_path / "data") as first:
        second = Server(tmp_path / "data")
        said = refusal(second)
        assert said.startswith(f"another server (process {first.pid}) works on")
        assert first.announced(), "the refused server must not touch the file of the other"


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    """The path is named with what the system says of it."""
    (tmp_path / "data").write_text("not a directory")
    said = refusal(Server(tmp_path / "data"))
    assert said == f"cannot use the data directory {tmp_path / 'data'}: file exists"


def test_a_data_directory_that_is_not_writable(tmp_path: Path) -> None:
    """As a volume that belongs to someone else."""
    path = tmp_path / "data"
    path.mkdir(mode=0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)  # root may write everywhere
    try:
        with pytest.raises(BootError) as caught:
            DataDirectory(path, patience_seconds=0.0)
    finally:
        os.seteuid(user)
    assert str(caught.value) == f"cannot use the data directory {path}: permission denied"


def test_a_data_directory_on_a_file_system_that_takes_nothing() -> None:
    """Not even root can make a directory in /proc."""
    path = Path("/proc/ingest-data")
    server = Server(path)
    server.log_file = Path(os.devnull)
    assert server.launch().wait() == ExitStatus.BOOT


def test_a_worker_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    """A fault that a restart cannot cure is no reason to respawn for ever."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal").write_text("not a directory")
    server = Server(tmp_path / "data", workers=1)
    assert refusal(server) == "worker 0 did not start: exit status 3; its last message says why"
    assert "cannot open its shard" in server.log()
    assert server.log().count("The process is started.") == 2, "one worker and the admin role"
    assert not (tmp_path / "data" / "server.json").exists()


def test_a_worker_that_does_not_become_ready_ends_the_server(tmp_path: Path) -> None:
    """A start has a deadline."""
    environment = {"INGEST_SUPERVISION__START_TIMEOUT": "1ms"}
    server = Server(tmp_path / "data", workers=1, environment=environment)
    assert refusal(server) == "worker 0 did not start: not ready within 0.001 s"


def test_a_server_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A server that nobody can find does not start."""
    place = tmp_path / "data" / "server.json"
    place.mkdir(parents=True)
    assert refusal(Server(tmp_path / "data")) == f"cannot write {place}: is a directory"
    assert place.is_dir()


def test_the_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    """A thousand and some connections are nothing special."""
    with Server(tmp_path / "data", workers=1) as server:
        limits = Path(f"/proc/{server.worker_pid(0)}/limits").read_text().splitlines()
        (files,) = [line.split() for line in limits if line.startswith("Max open files")]
        assert files[3] == files[4]


def test_what_a_start_logs(tmp_path: Path) -> None:
    """Where it listens and that it is ready, for people and for machines."""
    with Server(tmp_path / "data") as server:
        wait_until(lambda: '"Ready."' in server.log())
        entries = [json.loads(line) for line in server.log().splitlines()]
        listening = [entry for entry in entries if entry["message"] == "Listening."]
        assert {(entry["kind"], entry["address"]) for entry in listening} == {
            (kind, "{}:{}".format(*server.address(kind))) for kind in ("tcp", "udp")
        }
        (ready,) = [entry for entry in entries if entry["message"] == "Ready."]
        assert ready["workers"] == 2
        assert ready["admin"] == server.running().admin
