"""The commands, each as a process of its own, as people and scripts use them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ingest
from ingest import contract
from ingest._native import Region
from ingest.cli.send.pacing import Pace
from ingest.cli.status import render_ledger, render_status
from ingest.cli.tables import render_table
from ingest.contract import ListenerDescription, RunningServer, ServerDescription
from ingest.counters import LedgerStatus, read_status
from ingest.errors import ExitStatus
from tests.harness import PATIENCE_SECONDS, Server, wait_until

COMMAND = (sys.executable, "-m", "ingest")


def run(*arguments: str | Path, standard_input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ingest` with these arguments to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=standard_input,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def refusal(*arguments: str | Path, status: ExitStatus) -> str:
    """Run a command that must fail; return the one line in which it says why."""
    done = run(*arguments)
    assert done.returncode == status
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that the tests of this module share."""
    with Server(tmp_path_factory.mktemp("cli") / "data", workers=2) as running:
        yield running


def address(server: Server, kind: str) -> str:
    """Return where the server listens."""
    host, port = server.address(kind)
    return f"{host}:{port}"


class TestCommandLine:
    """What holds for all commands."""

    def test_the_version(self) -> None:
        """Of the package, in one line."""
        assert run("--version").stdout.decode() == f"fapilog-ingest {ingest.__version__}\n"

    @pytest.mark.parametrize("arguments", [("bogus",), ("serve", "--workers", "x"), ("send",)])
    def test_a_wrong_command_line_is_a_usage_error(self, arguments: tuple[str, ...]) -> None:
        """With a hint and without a traceback."""
        done = run(*arguments)
        assert done.returncode == ExitStatus.USAGE
        assert b"Usage: ingest" in done.stderr
        assert b"Traceback" not in done.stderr

    def test_help_names_every_command(self) -> None:
        """As the design lists them."""
        text = run("--help").stdout.decode()
        for command in ("serve", "check", "status", "tail", "verify", "send"):
            assert f"\n  {command} " in text


class TestCheck:
    """`ingest check`."""

    def test_it_prints_what_is_in_effect(self, tmp_path: Path) -> None:
        """And what it prints is a configuration itself."""
        first, second = tmp_path / "first.toml", tmp_path / "second.toml"
        first.write_text("workers = 3\n[journal]\nsync_interval = 0.5\n")
        printed = run("check", "--config", first)
        assert printed.returncode == ExitStatus.CLEAN
        assert b"workers = 3\n" in printed.stdout
        assert b'sync_interval = "500ms"\n' in printed.stdout
        second.write_bytes(printed.stdout)
        assert run("check", "--config", second).stdout == printed.stdout

    def test_a_mistake_is_one_line_with_its_own_status(self, tmp_path: Path) -> None:
        """So that a deployment can be stopped by it."""
        file = tmp_path / "ingest.toml"
        file.write_text("wrokers = 3")
        line = refusal("check", "--config", file, status=ExitStatus.CONFIGURATION)
        assert line == f'ingest: {file}: wrokers: is not a known key; did you mean "workers"?'

    def test_serve_refuses_the_same_mistake_the_same_way(self, tmp_path: Path) -> None:
        """Before anything is started or created."""
        line = refusal(
            *("serve", "--data-dir", tmp_path / "data", "--workers", "0"),
            status=ExitStatus.CONFIGURATION,
        )
        assert line.startswith("ingest: --workers: workers: 0 is too small")
        assert not (tmp_path / "data").exists()


class TestStatus:
    """`ingest status`."""

    def test_no_server(self, tmp_path: Path) -> None:
        """The line says how to start one."""
        line = refusal("status", "--data-dir", tmp_path, status=ExitStatus.UNEXPECTED)
        assert line.startswith(f"ingest: no server is running on {tmp_path}; start one")

    def test_a_server_that_was_killed(self, tmp_path: Path) -> None:
        """Its file is still there, its process is not."""
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        write_server_file(tmp_path, ended.pid, 3)
        line = refusal("status", "--data-dir", tmp_path, status=ExitStatus.UNEXPECTED)
        assert line == (
            f"ingest: no server is running on {tmp_path}; process {ended.pid} has ended"
        )

    def test_another_process_with_the_number_of_the_server(self, tmp_path: Path) -> None:
        """What its descriptor is, is no region."""
        with (tmp_path / "other").open("w+b") as other:
            write_server_file(tmp_path, os.getpid(), other.fileno())
            line = refusal("status", "--data-dir", tmp_path, status=ExitStatus.UNEXPECTED)
        assert "Traceback" not in line

    def test_a_server_file_that_is_none(self, tmp_path: Path) -> None:
        """It may be of another version of the program."""
        contract.server_file(tmp_path).write_text("{}")
        line = refusal("status", "--data-dir", tmp_path, status=ExitStatus.UNEXPECTED)
        assert line.startswith(f"ingest: {contract.server_file(tmp_path)}: is not the file of")

    def test_json_is_the_status_document(self, server: Server) -> None:
        """Of a running server, without waiting."""
        document = json.loads(run("status", "--json", "--data-dir", server.data_dir).stdout)
        assert document["ready"] is True
        assert [worker["state"] for worker in document["workers"]] == ["ready", "ready"]
        assert document["ledger"]["closed"] is True

    def test_people_see_workers_listeners_rates_and_the_sum(self, server: Server) -> None:
        """On one page."""
        text = run("status", "--data-dir", server.data_dir).stdout.decode()
        for part in ("ready", "WORKER", "RECEIVED/S", "LISTENER", "tcp-0", "The sum closes."):
            assert part in text

    def test_rates_are_the_difference_of_two_readings(self) -> None:
        """By the time that passed between them."""
        region = make_region()
        before = read_status(region)
        region.set(0, "ingest_events_received_total", 500, listener=0)
        lines = render_status(before, read_status(region), 2.0).splitlines()
        row = next(line for line in lines if "running" in line)
        assert row.split()[-3:] == ["500", "250", "0"]

    def test_the_ledger_is_written_as_a_sum(self) -> None:
        """Reasons that never happened take no room."""
        ledger = LedgerStatus(
            received=1_000_010,
            journaled=1_000_000,
            dead_lettered=2,
            lost={"worker_died": 3, "drain_deadline": 0},
            in_flight=5,
            kernel_dropped=7,
        )
        text = render_ledger(ledger)
        assert "= journaled                1,000,000" in text
        assert "+ lost: worker_died                3" in text
        assert "drain_deadline" not in text
        assert "The sum closes." in text
        assert "the kernel dropped 7 datagrams" in text
        ledger.closed = False
        assert "THE SUM DOES NOT CLOSE." in render_ledger(ledger)


class TestSendTailVerify:
    """From the sender through the server to the files, and back."""

    def test_samples_over_tcp_are_stored(self, server: Server) -> None:
        """All of them, each once."""
        before = server.status().ledger.journaled
        done = run("send", "--count", "5000", "--tcp", address(server, "tcp"))
        assert done.returncode == ExitStatus.CLEAN
        assert done.stderr.startswith(b"Sent 5,000 events over tcp to ")
        wait_until(lambda: server.status().ledger.journaled == before + 5000)

    def test_progress_is_shown_on_a_terminal(self, server: Server) -> None:
        """And only there: a log file gets the last line alone."""
        ours, theirs = os.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            arguments = ("send", "--count", "100", "--tcp", address(server, "tcp"))
            sending = subprocess.Popen([*COMMAND, *arguments], stderr=theirs)
            os.close(theirs)
            assert sending.wait(PATIENCE_SECONDS) == ExitStatus.CLEAN
            shown = terminal.read(65536)
        assert b"100/100" in shown
        assert b"Sent 100 events" in shown

    def test_a_file_is_sent_line_by_line(self, server: Server, tmp_path: Path) -> None:
        """A last line without a newline is a line, a blank one is none."""
        file = tmp_path / "events.ndjson"
        file.write_bytes(b'{"message":"one"}\n\n  \n{"message":"two"}\r\n{"message":"three"}')
        before = server.status().ledger.journaled
        done = run("send", file, "--tcp", address(server, "tcp"), "--quiet")
        assert (done.returncode, done.stderr) == (ExitStatus.CLEAN, b"")
        wait_until(lambda: server.status().ledger.journaled == before + 3)

    def test_standard_input_over_udp(self, server: Server) -> None:
        """One datagram for each line."""
        before = server.status().listeners[1].datagrams
        lines = b'{"message":"x"}\n' * 20
        done = run("send", "-", "--udp", address(server, "udp"), standard_input=lines)
        assert done.returncode == ExitStatus.CLEAN
        wait_until(lambda: server.status().listeners[1].datagrams == before + 20)

    @pytest.mark.parametrize("kind", ["tcp", "udp"])
    def test_nobody_listens(self, kind: str) -> None:
        """One line, with the address."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{free.getsockname()[1]}"
            line = refusal(
                "send", "--count", "3000", f"--{kind}", place, status=ExitStatus.UNEXPECTED
            )
        assert line == f"ingest: nobody listens on {kind} {place}; is the server running?"

    def test_a_server_that_hangs_up(self) -> None:
        """It is not taken for success."""
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def hang_up() -> None:
                connection, _ = listening.accept()
                connection.recv(1)
                connection.close()  # with data unread, which is a reset

            hanging = threading.Thread(target=hang_up)
            hanging.start()
            place = f"127.0.0.1:{listening.getsockname()[1]}"
            line = refusal(
                "send", "--count", "200000", "--tcp", place, status=ExitStatus.UNEXPECTED
            )
            hanging.join()
        assert line == f"ingest: the server on tcp {place} closed the connection"

    def test_a_line_that_no_datagram_holds(self, server: Server, tmp_path: Path) -> None:
        """The line says what helps."""
        file = tmp_path / "long.ndjson"
        file.write_bytes(b"x" * 70_000)
        line = refusal("send", file, "--udp", address(server, "udp"), status=ExitStatus.UNEXPECTED)
        assert line.endswith("longer than a datagram can be, 65,507 bytes; use --tcp")

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        """The operating system's words for it."""
        line = refusal("send", tmp_path / "none", status=ExitStatus.UNEXPECTED)
        assert line == f"ingest: {tmp_path / 'none'}: cannot be read: No such file or directory"

    def test_tail_shows_the_last_lines_in_order(self, server: Server) -> None:
        """Whatever shard they are in."""
        self.store(server, *(b'{"message":"in order %d"}' % number for number in range(5)))
        done = run("tail", "-n", "3", "--data-dir", server.data_dir)
        messages = [json.loads(line)["message"] for line in done.stdout.splitlines()]
        assert messages == ["in order 2", "in order 3", "in order 4"]

    def test_tail_of_dead_letters(self, server: Server) -> None:
        """With the reason and the raw line."""
        before = server.status().ledger.dead_lettered
        server.send_lines(b"no json at all")
        wait_until(lambda: server.status().ledger.dead_lettered > before)
        done = run("tail", "--dead", "-n", "1", "--data-dir", server.data_dir)
        letter = json.loads(done.stdout)
        assert (letter["reason"], letter["raw"]) == ("unknown_format", "no json at all")

    def test_tail_follows_and_ends_with_an_interrupt(self, server: Server) -> None:
        """What is stored appears; Ctrl-C is no failure."""
        with follow(server, "-n", "0") as following:
            assert following.stdout
            self.send_until_seen(server, following, b"followed")
            following.send_signal(signal.SIGINT)
            assert following.wait(PATIENCE_SECONDS) == ExitStatus.CLEAN
            assert following.stderr
            assert following.stderr.read() == b""

    def test_tail_ends_when_nobody_reads_it(self, server: Server) -> None:
        """As in `ingest tail -f | head -1`, also while nothing new is stored."""
        self.store(server, b'{"message":"for the pipe"}')
        with follow(server, "-n", "1") as following:
            assert following.stdout
            assert following.stdout.readline()
            following.stdout.close()
            assert following.wait(PATIENCE_SECONDS) == ExitStatus.CLEAN

    def test_tail_without_a_data_directory(self, tmp_path: Path) -> None:
        """An empty one has no lines; none at all is a mistake."""
        assert run("tail", "--data-dir", tmp_path).stdout == b""
        line = refusal("tail", "--data-dir", tmp_path / "none", status=ExitStatus.UNEXPECTED)
        assert line == f"ingest: {tmp_path / 'none'}: is not a data directory"

    def test_verify_finds_damage_and_only_damage(self, tmp_path: Path) -> None:
        """One flipped bit is enough; `tail` warns of it and goes on."""
        with Server(tmp_path / "data", workers=1) as own:
            self.store(own, b'{"message":"first"}')
            self.store(own, b'{"message":"second"}')
            assert own.stop() == ExitStatus.CLEAN
        good = run("verify", "--data-dir", own.data_dir)
        assert good.returncode == ExitStatus.CLEAN
        assert b"2 events, 0 segments damaged" in good.stdout
        (segment,) = (own.data_dir / "journal").rglob("*.ndjson.zst")
        data = bytearray(segment.read_bytes())
        data[data.index(b"first")] ^= 1
        segment.write_bytes(data)
        bad = run("verify", segment.parent)
        assert bad.returncode == ExitStatus.UNEXPECTED
        assert b"damage at byte" in bad.stdout
        assert b"1 segments damaged" in bad.stdout
        tail = run("tail", "--data-dir", own.data_dir)
        assert b"second" in tail.stdout
        assert tail.stderr.startswith(b"ingest: ")

    def test_verify_of_nothing(self, tmp_path: Path) -> None:
        """A path that is not there is not taken for a good one."""
        line = refusal("verify", tmp_path / "none", status=ExitStatus.UNEXPECTED)
        assert line == f"ingest: {tmp_path / 'none'}: is not a directory"

    def store(self, server: Server, *lines: bytes) -> None:
        """Send lines and wait until they are stored."""
        before = server.status().ledger.journaled
        server.send_lines(*lines)
        wait_until(lambda: server.status().ledger.journaled == before + len(lines))

    def send_until_seen(
        self, server: Server, following: subprocess.Popen[bytes], message: bytes
    ) -> None:
        """Store a message again and again until the follower, which is starting, shows it."""
        assert following.stdout
        os.set_blocking(following.stdout.fileno(), False)
        seen = b""

        def appeared() -> bool:
            nonlocal seen
            self.store(server, b'{"message":"%b"}' % message)
            assert following.stdout
            seen += following.stdout.read() or b""
            return message in seen

        wait_until(appeared)


class TestPace:
    """Keeping to a rate."""

    def test_it_waits_until_what_was_sent_is_due(self) -> None:
        """Counted from the start, so that a slow moment is made up for."""
        now, waits = [100.0], []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            now[0] += seconds

        pace = Pace(1000, clock=lambda: now[0], sleep=sleep)
        assert pace.batch == 10
        pace.keep(10)
        now[0] += 0.035
        pace.keep(10)
        pace.keep(30)
        assert waits == pytest.approx([0.01, 0.005])

    def test_without_a_rate_it_never_waits(self) -> None:
        """And sends in large batches."""
        pace = Pace(None, sleep=lambda _seconds: pytest.fail("it waited"))
        pace.keep(1_000_000)
        assert pace.batch > 1000

    def test_a_slow_rate_sends_one_by_one(self) -> None:
        """Not a hundred at once every minute."""
        assert Pace(1.5).batch == 1


def test_tables_align_and_group_numbers() -> None:
    """Nothing is cut off, however long it is."""
    text = render_table(("NAME", "COUNT"), [("a", 1234567), ("a long name", 5)])
    assert text.splitlines() == [
        "NAME             COUNT",
        "a            1,234,567",
        "a long name          5",
    ]


def make_region() -> Region:
    """Return the region of a server with one worker and one listener."""
    description = ServerDescription(
        version="1",
        data_dir="/data",
        workers=1,
        listeners=(ListenerDescription(name="in", kind="tcp", address="127.0.0.1:1", bound=True),),
        admin=None,
        heartbeat_timeout_seconds=10.0,
        last_reload=None,
        previous_server=None,
    )
    return Region.create(1, ["in"], ["level"], contract.encode(description))


def write_server_file(data_dir: Path, pid: int, descriptor: int) -> None:
    """Describe a server that need not be one."""
    server = RunningServer(
        pid=pid,
        region_descriptor=descriptor,
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        version="1",
        admin=None,
        listeners=(),
    )
    contract.server_file(data_dir).write_bytes(contract.encode(server))


def follow(server: Server, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `ingest tail -f`."""
    return subprocess.Popen(
        [*COMMAND, "tail", "-f", *arguments, "--data-dir", str(server.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
