"""What any sender sends is stored as it was sent, and any tool can read it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ingest.contract import JOURNAL_DIRECTORY
from tests import stored
from tests.harness import Server, run_command

COUNT = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("storing") / "data") as running:
        yield running


@pytest.fixture
def journal(server: Server) -> stored.Follower:
    """Return a reader of the events of one test."""
    return stored.Follower(server.data_dir, JOURNAL_DIRECTORY)


def test_sample_events_are_all_stored_and_every_tool_reads_them(tmp_path: Path) -> None:
    """`status`, `zstd`, DuckDB and our own reader agree on every one of 20,000 events."""
    with Server(tmp_path / "data") as server:
        address = "{}:{}".format(*server.address("tcp"))
        sent = run_command("send", "--count", COUNT, "--tcp", address)
        assert sent.returncode == 0, sent.stderr
        server.settle(COUNT)
        shown = run_command("status", "--json", "--data-dir", server.data_dir)
        status = json.loads(shown.stdout)
        assert status["ledger"]["received"] == status["ledger"]["journaled"] == COUNT
        assert status["ledger"]["closed"] is True

        decompressed = stored.decompress(server.data_dir)
        assert decompressed.count(b"\n") == COUNT
        assert decompressed.splitlines() == stored.events(server.data_dir)
        files = f"{server.data_dir}/{JOURNAL_DIRECTORY}/*/*.ndjson.zst"
        with duckdb.connect() as database:
            query = "SELECT count(*), count(DISTINCT context.request_id) FROM read_json(?)"
            assert database.execute(query, [files]).fetchone() == (COUNT, COUNT)
        stored.assert_verified(server.data_dir)


def test_a_file_is_sent_line_by_line(
    server: Server, journal: stored.Follower, tmp_path: Path
) -> None:
    """`ingest send FILE` and `ingest send -` leave out blank lines and nothing else."""
    lines = [b'{"message":"from a file","number":%d}' % number for number in range(1000)]
    file = tmp_path / "lines.ndjson"
    file.write_bytes(b"\n\n".join(lines))  # and no newline at the end
    address = "{}:{}".format(*server.address("tcp"))
    before = server.status().ledger.received
    assert run_command("send", file, "--tcp", address).returncode == 0
    server.settle(before + 1000)
    assert journal.new() == lines
    assert run_command("send", "-", "--tcp", address, stdin=file.read_bytes()).returncode == 0
    server.settle(before + 2000)
    assert journal.new() == lines


@pytest.mark.parametrize(
    "command",
    [
        "printf '%s\\n' \"$LINE\" | nc -N $HOST $TCP",
        'printf %s "$LINE" | nc -u -w1 $HOST $UDP',
        "printf '%s\\n' \"$LINE\" > /dev/tcp/$HOST/$TCP",
        "printf '%s\\r\\n' \"$LINE\" > /dev/udp/$HOST/$UDP",
    ],
    ids=["nc over TCP", "nc over UDP", "a shell over TCP", "a shell over UDP"],
)
def test_a_line_of_a_plain_tool_is_seen_with_tail(server: Server, command: str) -> None:
    """Whoever has only `nc` or a shell can send a line and see it stored."""
    stored.tool("nc")
    line = json.dumps({"level": "INFO", "message": f"hello from {command}"})
    (host, tcp), (_, udp) = server.address("tcp"), server.address("udp")
    before = server.status().ledger.received
    environment = {"LINE": line, "HOST": host, "TCP": str(tcp), "UDP": str(udp)}
    subprocess.run([stored.tool("bash"), "-c", command], check=True, env=environment, timeout=10)
    server.settle(before + 1)
    shown = run_command("tail", "-n", 1, "--data-dir", server.data_dir)
    assert shown.stdout == line.encode() + b"\n"


def test_tail_follows_what_is_stored_live(server: Server) -> None:
    """`ingest tail -f` prints each event once, soon after it was sent, whatever shard has it."""
    command = [sys.executable, "-m", "ingest", "tail", "-f", "-n", "1", "--data-dir"]
    server.deliver(b'{"message":"before the tail"}\n', 1)
    with subprocess.Popen(
        [*command, server.data_dir], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as tail:
        try:
            assert tail.stdout
            assert tail.stdout.readline() == b'{"message":"before the tail"}\n'
            for number in range(20):
                line = b'{"message":"live","number":%d}' % number
                server.send_lines(line)
                assert tail.stdout.readline() == line + b"\n"
        finally:
            tail.terminate()


def test_a_last_line_without_a_newline_is_a_line(server: Server, journal: stored.Follower) -> None:
    """The end of a connection ends its last line."""
    server.deliver(b'{"number":1}\n{"number":2}', 2)
    assert journal.new() == [b'{"number":1}', b'{"number":2}']


def test_every_line_of_a_datagram_is_an_event(server: Server, journal: stored.Follower) -> None:
    """A datagram holds one line or several, the last of them with or without its newline."""
    before = server.status().ledger.received
    server.send_datagrams(b'{"number":1}\n{"number":2}\r\n\n{"number":3}')
    server.settle(before + 3)
    assert journal.new() == [b'{"number":1}', b'{"number":2}', b'{"number":3}']


CANONICAL = [
    b'{"message":"plain"}',
    b'{ "message" : "with blanks" ,\t"data" : { } }',
    b'{"keys":"out of order","b":1,"a":2,"1":3}',
    '{"message":"žluťoučký kůň 🐎"}'.encode(),
    rb'{"message":"escapes \u0000 \ud83d\ude00 \/ \n"}',
    b'{"numbers":[0,-0,1e3,1E+2,0.1,18446744073709551615,-9223372036854775808]}',
    b'{"deep":' + b"[" * 60 + b"]" * 60 + b"}",
    b"{}",
]
"""Events that have nothing to be made canonical."""

EDITED = [
    (b'{"data":"text"}', {"data": {"value": "text"}}),
    (b'{"context":[1,2]}', {"context": {"value": [1, 2]}}),
    (b'{"diagnostics":null}', {"diagnostics": {"value": None}}),
    (b'{"data":{"_fapilog_unsafe":{"x":1},"kept":2}}', {"data": {"kept": 2}}),
    (
        b'{"schema_version":"1.1","log":{"message":"in an envelope","data":{"_fapilog_unsafe":1}}}',
        {"message": "in an envelope", "data": {}},
    ),
]
"""Events that are not canonical, and what they come to."""


def test_events_come_back_byte_for_byte(server: Server, journal: stored.Follower) -> None:
    """Nothing that a sender wrote is written in another way."""
    server.deliver(b"\r\n".join(CANONICAL), len(CANONICAL))
    assert journal.new() == CANONICAL


def test_events_are_made_canonical(server: Server, journal: stored.Follower) -> None:
    """Groups become objects, control fields are removed, envelopes are taken off."""
    server.deliver(b"\n".join(line for line, _ in EDITED), len(EDITED))
    assert [json.loads(line) for line in journal.new()] == [event for _, event in EDITED]
