"""Dead letters are found, shown safely, and sent again: byte for byte, and each once."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ingest.cli.application import application
from ingest.cli.dead.framing import frame_in_datagram, frame_in_stream
from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.plugin_servers import ENVIRONMENT, table
from tests.harness import NO_STAGES, PATIENCE_SECONDS, Server, run_command, wait_until

NO_FLAGS = ("--log-level", "DEBUG")
"""No addresses: the environment has the listeners."""
SYSLOG = [b"<14>checkout: order %d placed" % number for number in range(2500)]
"""More than are sent over one connection."""
SECRET = "hunter2"  # noqa: S105
PLUGIN = "mischief:Enricher"


def listener(name: str = "inbound", kind: str = "tcp", **more: object) -> dict[str, object]:
    """Return a listener whose name stays the same when its port does not."""
    return {"kind": kind, "address": "127.0.0.1:0", "name": name, **more}


def server_with(
    data_dir: Path,
    *listeners: dict[str, object],
    pipeline: str = NO_STAGES,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Return a server with these listeners."""
    environment = {**(environment or {}), "INGEST_LISTENERS": json.dumps(listeners)}
    return Server(data_dir, arguments=NO_FLAGS, pipeline=pipeline, environment=environment)


def dead(server: Server, *arguments: object) -> str:
    """Run `ingest dead` on the data directory of a server; return what it says."""
    done = invoke(server, *arguments)
    assert done.exit_code == ExitStatus.CLEAN, done.output
    return done.stdout


def invoke(server: Server, *arguments: object) -> Result:
    """Run `ingest dead` within this process: many are run here, and starting takes long."""
    command = ["dead", *map(str, arguments), "--data-dir", str(server.data_dir)]
    return CliRunner().invoke(application, command, catch_exceptions=False)


def listed(server: Server, *filters: object) -> list[dict[str, Any]]:
    """Return what `ingest dead list --json` says."""
    return [json.loads(line) for line in dead(server, "list", "--json", *filters).splitlines()]


def states(server: Server, *filters: object) -> Counter[str]:
    """Return how many dead letters are in each state."""
    return Counter(letter["state"] for letter in listed(server, *filters))


def messages(server: Server) -> list[str]:
    """Return the messages of all stored events, sorted."""
    return sorted(json.loads(event)["message"] for event in stored.events(server.data_dir))


def test_each_is_sent_once_after_the_configuration_was_put_right(tmp_path: Path) -> None:
    """The format was wrong; with the right one each becomes an event, and no replay repeats it."""
    with server_with(tmp_path / "data", listener(format="json")) as wrong:
        wrong.deliver(b"\n".join((*SYSLOG, b"")), len(SYSLOG))
        assert wrong.stop() == ExitStatus.CLEAN
    with server_with(tmp_path / "data", listener(format="syslog")) as server:
        assert states(server) == {"new": len(SYSLOG)}
        assert f"Would send to inbound ({server.running().listeners[0].address}): 2,500." in dead(
            server, "replay", "--dry-run"
        )
        assert server.status().ledger.received == 0

        assert "2,500 journaled" in dead(server, "replay")
        assert states(server) == {"replayed": len(SYSLOG)}
        expected = sorted(line.decode().partition(": ")[2] for line in SYSLOG)
        assert messages(server) == expected
        assert "Not sent, replayed before: 2,500" in dead(server, "replay")
        assert server.status().ledger.received == len(SYSLOG)

        first = listed(server)[0]["id"]
        assert "1 journaled" in dead(server, "replay", "--again", first)
        assert server.settle(len(SYSLOG) + 1).journaled == len(SYSLOG) + 1


def test_what_failed_at_a_plugin_goes_through_the_pipeline_that_is_right(tmp_path: Path) -> None:
    """It is the event as the plugin got it, and arrives once; what still fails is a new letter."""
    broken = table(enrichers=[PLUGIN], policy={"fail": "dead_letter", "breaker_failures": 1000})
    events = [
        b'{"message":"%d","data":{"at":"enricher","do":"raise"}}' % number for number in range(20)
    ]
    data_dir = tmp_path / "data"
    with server_with(data_dir, listener(), pipeline=broken, environment=ENVIRONMENT) as server:
        server.deliver(b"\n".join((*events, b"")), len(events))
        assert {letter["stage"] for letter in listed(server, "--reason", "stage_failed")} == {
            PLUGIN
        }
        assert "20 dead lettered" in dead(server, "replay")
        assert states(server) == {"replayed": 20, "new": 20}
        assert server.stop() == ExitStatus.CLEAN
    with server_with(data_dir, listener()) as server:
        assert "20 journaled" in dead(server, "replay")
        assert messages(server) == sorted(str(number) for number in range(20))
        assert states(server) == {"replayed": 40}


FROM_STREAM = [
    b"12 apples",
    b"404 <html>",
    b"plain",
    b"plain with \0 zero\r",
    b"\xff\xfe\x00 no text",
    b'{"cut":',
    b"{" + b"x" * 70_000,
    b"<x>unknown",
    b"<999>\xff",
    "\x1b[31mred \u202e\x85".encode(),
]
FROM_DATAGRAMS = [b"two\nlines", b"7 <1>x", b"3 {\nno", b"a\0b\n\nc", b"-" * 40_000]
COUNTED = [b"{\n\n}}", b'{"a"\0\n', b"<14>\xff\n\0\n"]


def test_every_byte_arrives_as_it_was_sent(tmp_path: Path) -> None:
    """Line breaks, zeros and numbers make no other frames of it, whatever the transport was."""
    stream, datagrams = tmp_path / "stream.sock", "@ingest-test-" + tmp_path.name
    listeners = [
        listener("tcp", format="json"),
        listener("udp", "udp", format="json"),
        listener("stream", "unix", address=str(stream), format="json"),
        listener("datagrams", "unix", address=datagrams, socket="datagram", format="json"),
    ]
    counted = [b"%d %b" % (len(line), line) for line in COUNTED]
    with server_with(tmp_path / "data", *listeners) as server:
        payload = b"".join((*(line + b"\n" for line in FROM_STREAM), *counted))
        server.send_lines(payload[:-1])
        for datagram in FROM_DATAGRAMS:
            server.send_datagrams(datagram)
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect(str(stream))
            sender.sendall(payload)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE_SECONDS)
            for datagram in FROM_DATAGRAMS:
                sender.sendto(datagram, "\0" + datagrams.removeprefix("@"))
        expected = Counter(
            (name, line)
            for names, lines in (
                (("tcp", "stream"), FROM_STREAM + COUNTED),
                (("udp", "datagrams"), FROM_DATAGRAMS),
            )
            for name in names
            for line in lines
        )
        server.settle(expected.total())
        assert found(server) == expected
        dead(server, "replay")
        assert states(server) == {"replayed": expected.total(), "new": expected.total()}
        assert found(server) == Counter({key: 2 * count for key, count in expected.items()})


PIECES = [
    b"{",
    b"<",
    b"<1",
    b"7",
    b"12 ",
    b"3 {",
    b" ",
    b"\n",
    b"\r",
    b"\0",
    b'"',
    b"\xff",
    b"text",
]


def test_any_bytes_are_one_frame_or_none(tmp_path: Path) -> None:
    """Whatever a line is made of, what is sent for it is taken for this line and nothing else."""
    drawn = random.Random(5)
    lines = {b"".join(drawn.choices(PIECES, k=drawn.randint(1, 6))) for _ in range(3000)}
    in_stream = [(line, frame) for line in lines if (frame := frame_in_stream(line))]
    in_datagrams = [(line, frame) for line in lines if (frame := frame_in_datagram(line))]
    assert len(in_stream) > 1000
    assert len(in_datagrams) > 1000
    listeners = [listener("tcp", format="json"), listener("datagrams", "udp", format="json")]
    with server_with(tmp_path / "data", *listeners) as server:
        with server.connect() as connection:
            connection.sendall(b"".join(frame for _, frame in in_stream))
        server.settle(len(in_stream))
        for sent, (_, frame) in enumerate(in_datagrams, 1):
            server.send_datagrams(frame)
            if sent % 50 == 0:  # no more than fit the receive buffer
                server.settle(len(in_stream) + sent)
        server.settle(len(in_stream) + len(in_datagrams))
        expected = [("tcp", line) for line, _ in in_stream]
        expected += [("datagrams", line) for line, _ in in_datagrams]
        assert found(server) == Counter(expected)


def found(server: Server) -> Counter[tuple[str, bytes]]:
    """Return how often each line is a dead letter of each listener."""
    return Counter((at.listener, at.line) for at in stored.dead_letters(server.data_dir))


def test_what_is_not_all_there_is_not_sent(tmp_path: Path) -> None:
    """What was masked comes back nowhere, and no beginning is passed off as the whole."""
    pipeline = json.dumps(
        {
            "enrichers": [],
            "redactors": ["field_mask"],
            "config": {"field_mask": {"fields_to_mask": ["data.password"]}},
        }
    )
    environment = {"INGEST_LIMITS__LINE_BYTES": "64KiB"}
    with server_with(
        tmp_path / "data", listener(), pipeline=pipeline, environment=environment
    ) as server:
        server.deliver(b'{"data":{"password":"%b"},}\n' % SECRET.encode(), 1)
        server.deliver(b'{"message":"' + b"x" * 70_000 + b"\n", 1)
        server.deliver(b"100 <14>half", 1)
        said = dead(server, "replay")
        assert "Not sent, masked: 1" in said
        assert "Not sent, truncated: 2" in said
        assert server.status().ledger.received == 3
        assert states(server) == {"masked": 1, "truncated": 2}
        [masked] = listed(server, "--reason", "invalid_json")
        everything = dead(server, "list") + dead(server, "show", masked["id"])
        raw = run_command("dead", "show", "--raw", masked["id"], "--data-dir", server.data_dir)
        everything += raw.stdout.decode() + json.dumps(masked)
        assert "***" in everything
        assert SECRET not in everything


def test_an_event_at_which_a_redactor_failed_is_not_sent(tmp_path: Path) -> None:
    """Of it only the structure is kept, which is nothing that anybody has sent."""
    pipeline = table(redactors=["mischief:Redactor"], policy={"fail": "dead_letter"})
    with server_with(
        tmp_path / "data", listener(), pipeline=pipeline, environment=ENVIRONMENT
    ) as server:
        server.deliver(b'{"message":"m","data":{"at":"redactor","do":"raise"}}\n', 1)
        assert "Not sent, masked: 1" in dead(server, "replay")


@contextmanager
def stopped_workers(server: Server) -> Iterator[None]:
    """Keep the workers from reading."""
    pids = [worker.pid for worker in server.status().workers if worker.pid]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def start_replay(server: Server, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a replay and wait until it has noted what it is about to send."""
    command = ["dead", "replay", *arguments, "--data-dir", str(server.data_dir)]
    started = subprocess.Popen(
        [sys.executable, "-m", "ingest", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    notes = server.data_dir / "dead/replayed.ndjson"
    wait_until(lambda: notes.exists() and b"sending" in notes.read_bytes())
    return started


def test_a_replay_that_was_killed_repeats_nothing(tmp_path: Path) -> None:
    """What it may have sent is unconfirmed, and sent again only by who asks for it."""
    data_dir = tmp_path / "data"
    with server_with(data_dir, listener(format="json")) as server:
        server.deliver(b"\n".join((*SYSLOG[:3], b"")), 3)
        with stopped_workers(server):
            started = start_replay(server)
            try:
                refused = run_command("dead", "replay", "--data-dir", data_dir)
                assert refused.returncode == ExitStatus.UNEXPECTED
                assert b"another replay is at work" in refused.stderr
            finally:
                started.kill()
                started.communicate()
        unconfirmed = [at["id"] for at in listed(server) if at["state"] == "unconfirmed"]
        assert len(unconfirmed) == 3
        before = server.status().ledger.received
        again = invoke(server, "replay", *unconfirmed)
        assert "Not sent, unconfirmed: 3" in again.stdout
        assert again.exit_code == ExitStatus.UNEXPECTED
        assert server.status().ledger.received == before

        dead(server, "replay", "--unconfirmed", *unconfirmed)
        server.settle(before + 3)
        assert states(server)["replayed"] == 3


def test_a_listener_that_takes_nothing_loses_nothing(tmp_path: Path) -> None:
    """Letters that were refused stay new, and go to another listener by name or address."""
    with server_with(tmp_path / "data", listener("strict", format="json")) as server:
        server.deliver(b"\n".join((*SYSLOG[:4], b"")), 4)
        assert server.stop() == ExitStatus.CLEAN
    listeners = [listener("strict", deny=["127.0.0.0/8"]), listener("open", format="syslog")]
    with server_with(tmp_path / "data", *listeners) as server:
        refused = invoke(server, "replay")
        assert refused.exit_code == ExitStatus.UNEXPECTED
        assert "takes nothing from this address" in refused.stdout
        assert states(server) == {"new": 4}

        ids = [letter["id"] for letter in listed(server)]
        assert "1 journaled" in dead(server, "replay", "--to", "open", ids[0])
        address = next(at.address for at in server.running().listeners if at.name == "open")
        assert "3 journaled" in dead(server, "replay", "--to", address)
        assert states(server) == {"replayed": 4}


def test_a_listener_that_is_gone_has_to_be_named(tmp_path: Path) -> None:
    with server_with(tmp_path / "data", listener("old", format="json")) as server:
        server.deliver(SYSLOG[0] + b"\n", 1)
        assert server.stop() == ExitStatus.CLEAN
    with server_with(tmp_path / "data", listener("new")) as server:
        said = invoke(server, "replay")
        assert said.exit_code == ExitStatus.UNEXPECTED
        assert "Not sent, listener gone: 1" in said.stdout
        assert "1 journaled" in dead(server, "replay", "--to", "new")


def ids(letters: Sequence[dict[str, Any]]) -> set[str]:
    """Return what the letters are called."""
    return {letter["id"] for letter in letters}


def test_filters_choose_and_nothing_that_was_sent_reaches_the_terminal(tmp_path: Path) -> None:
    """By reason, listener, address and time; control characters are shown as escapes."""
    listeners = [listener("one"), listener("two", "udp")]
    with server_with(tmp_path / "data", *listeners, pipeline=NO_STAGES) as server:
        server.deliver("{\x1b]0;owned\x07 \x9b31m \u202eevil\n".encode(), 1)
        server.send_datagrams(b"no format")
        server.settle(2)
        everything = listed(server)
        json_letter, text_letter = everything
        only_json, only_text = {json_letter["id"]}, {text_letter["id"]}
        assert ids(listed(server, "--reason", "invalid_json")) == only_json
        assert ids(listed(server, "--listener", "two")) == only_text
        assert ids(listed(server, "--peer", "127.0.0.0/8")) == only_json | only_text
        assert not listed(server, "--peer", "10.0.0.0/8")
        assert not listed(server, "--peer", "::1")
        for inside in (["--since", "1h"], ["--until", "2999-01-01"], ["--since", "2020-01-01"]):
            assert ids(listed(server, *inside)) == only_json | only_text
        for outside in (["--until", "1h"], ["--since", "2999-01-01T00:00:00+01:00"]):
            assert not listed(server, *outside)
        late = text_letter["received_at"]
        assert ids(listed(server, "--since", late)) == only_text | {
            at["id"] for at in everything if at["received_at"] == late
        }

        shown = dead(server, "list"), dead(server, "show", json_letter["id"])
        for text in (*shown, dead(server, "list", "--json")):
            assert all(character == "\n" or character.isprintable() for character in text)
        assert r"{\x1b]0;owned\x07 \xc2\x9b31m \xe2\x80\xaeevil" in shown[1]
        raw = run_command("dead", "show", "--raw", json_letter["id"], "--data-dir", server.data_dir)
        assert raw.stdout == "{\x1b]0;owned\x07 \x9b31m \u202eevil".encode()
        assert json.loads(dead(server, "list", "--count", "--json"))["invalid_json"]["letters"] == 1
        for wrong in (["--since", "soon"], ["--peer", "home"], ["--reason", "bad"]):
            assert invoke(server, "list", *wrong).exit_code == ExitStatus.USAGE
