"""The commands around the server: what they print, and what their exit status says."""

from __future__ import annotations

import shutil
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import ExitStatus
from tests import stored
from tests.harness import Server, run_command


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("commands") / "data") as running:
        running.deliver(b"".join(b'{"number":%d}\n' % number for number in range(1000)), 1000)
        yield running


@pytest.fixture
def copy(server: Server, tmp_path: Path) -> Path:
    """Return a data directory to damage."""
    return shutil.copytree(server.data_dir, tmp_path / "copy")


def refusal(status: ExitStatus, *arguments: object) -> str:
    """Run a command that must fail; return the one line, and all of it, that it says."""
    completed = run_command(*arguments)
    assert completed.returncode == status
    assert completed.stdout == b""
    (line,) = completed.stderr.decode().splitlines()
    assert line.startswith("ingest: ")
    return line.removeprefix("ingest: ")


def test_check_prints_the_effective_configuration(tmp_path: Path) -> None:
    """As TOML that is a valid configuration itself, and comes to the same."""
    file = tmp_path / "ingest.toml"
    file.write_text('workers = 3\n[journal]\ncompression = "zstd"\n')
    checked = run_command("check", "--config", file)
    assert checked.returncode == ExitStatus.CLEAN
    effective = tomllib.loads(checked.stdout.decode())
    assert effective["workers"] == 3
    assert effective["journal"]["compression"] == "zstd"
    assert effective["journal"]["sync_interval"] == "25ms"
    file.write_bytes(checked.stdout)
    assert run_command("check", "--config", file).stdout == checked.stdout


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("worker = 3", "worker: "),
        ("workers = 0", "workers: "),
        ('[journal]\nsync_interval = "soon"', "journal.sync_interval: "),
        ("this is no TOML", ""),
    ],
)
def test_a_wrong_configuration_is_one_line(text: str, place: str, tmp_path: Path) -> None:
    """It names the file and the key, and the exit status is 4."""
    file = tmp_path / "ingest.toml"
    file.write_text(text)
    said = refusal(ExitStatus.CONFIGURATION, "check", "--config", file)
    assert said.startswith(f"{file}: {place}")


def test_a_server_with_a_wrong_configuration_does_not_start(tmp_path: Path) -> None:
    """It says the same as `check` and leaves nothing behind."""
    data_dir = tmp_path / "data"
    said = refusal(ExitStatus.CONFIGURATION, "serve", "--data-dir", data_dir, "--workers", 0)
    assert said.startswith("--workers: workers: 0 is too small")
    assert not data_dir.exists()


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_status_without_a_server(arguments: list[str], tmp_path: Path) -> None:
    """Says that there is none, and how to start one."""
    said = refusal(ExitStatus.UNEXPECTED, *arguments, "--data-dir", tmp_path)
    assert said.startswith(f"no server is running on {tmp_path}; start one: ingest serve")


def test_status_after_a_server_was_killed(tmp_path: Path) -> None:
    """The file that it left behind deceives nobody."""
    with Server(tmp_path / "data", workers=1) as server:
        server.kill()
        said = refusal(ExitStatus.UNEXPECTED, "status", "--data-dir", server.data_dir)
        assert said.startswith(f"no server is running on {server.data_dir}")


def test_status_for_people_shows_the_sum(server: Server) -> None:
    """Workers, listeners, and the ledger written as the sum that it is."""
    shown = run_command("status", "--data-dir", server.data_dir)
    assert shown.returncode == ExitStatus.CLEAN
    words = shown.stdout.decode().split()
    ledger = words[words.index("received") :]
    assert ledger[:5] == ["received", "1,000", "=", "journaled", "1,000"]
    assert shown.stdout.endswith(b"The sum closes.\n")
    for worker in server.status().workers:
        assert str(worker.pid) in words
    for listener in server.status().listeners:
        assert listener.address in words


def test_send_to_nobody() -> None:
    """Says where nobody listens."""
    with socket.socket() as bound:  # and does not listen, so that nobody else does
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        said = refusal(ExitStatus.UNEXPECTED, "send", "--count", 1, "--tcp", address)
        assert said == f"nobody listens on tcp {address}; is the server running?"


def test_tail_joins_the_shards(tmp_path: Path) -> None:
    """The newest lines of all of them in the order of their arrival, also without a server."""
    lines = [b'{"number":%d}' % number for number in range(20)]
    with Server(tmp_path / "data") as server:
        for line in lines:
            server.deliver(line, 1)
        assert server.stop() == ExitStatus.CLEAN
    assert all(stored.shards(server.data_dir)), "both shards have events"
    for count in (0, 7, 1000):
        shown = run_command("tail", "-n", count, "--data-dir", server.data_dir)
        assert shown.returncode == ExitStatus.CLEAN
        assert shown.stdout.splitlines() == lines[len(lines) - min(count, len(lines)) :]


def test_tail_of_nothing(tmp_path: Path) -> None:
    """A directory that is not there is named; a mistyped one must not look like an empty one."""
    said = refusal(ExitStatus.UNEXPECTED, "tail", "--data-dir", tmp_path / "nowhere")
    assert said == f"{tmp_path / 'nowhere'}: is not a data directory"


def test_verify_counts_what_is_intact(server: Server) -> None:
    """While the server is running, too."""
    verified = run_command("verify", "--data-dir", server.data_dir)
    assert verified.returncode == ExitStatus.CLEAN
    summary = verified.stdout.decode().splitlines()[-1]
    assert summary.endswith("segments, 1,000 events, 0 segments damaged")


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9])
def test_verify_finds_a_flipped_bit(at: float, copy: Path) -> None:
    """Wherever it is: the segment is named, the exit status is 1, and nothing is repaired."""
    segment = max(stored.segments(copy), key=lambda path: path.stat().st_size)
    content = bytearray(segment.read_bytes())
    content[int(at * len(content))] ^= 1
    segment.write_bytes(content)
    verified = run_command("verify", "--data-dir", copy)
    assert verified.returncode == ExitStatus.UNEXPECTED
    (of_segment,) = [
        line for line in verified.stdout.decode().splitlines() if line.startswith(str(segment))
    ]
    assert "damage at byte" in of_segment
    assert verified.stdout.endswith(b"1 segments damaged\n")
    assert segment.read_bytes() == content


def test_verify_of_nothing(tmp_path: Path) -> None:
    """What cannot be verified is not called intact."""
    said = refusal(ExitStatus.UNEXPECTED, "verify", "--data-dir", tmp_path)
    assert said.endswith("is not a directory")
