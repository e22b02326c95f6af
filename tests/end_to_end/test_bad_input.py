"""Bad lines and bad senders cost the others nothing, and every bad line is found again."""

from __future__ import annotations

import json
import re
import resource
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from tests import stored
from tests.harness import Server, wait_until

LINE_LIMIT = 256 * 1024
IDLE_CONNECTIONS = 2_000
BLANKS = b" \t\r"
"""What may stand around an event."""
NOTHING = BLANKS + b"\0"
"""What belongs to no frame before one."""
COUNT = re.compile(rb"[1-9][0-9]{0,8} [<{]")
"""What begins a frame whose octets are counted, which a line is not."""
RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

GOOD = b'{"message":"good"}'

BAD = [
    (b'{"message":"cut o', "invalid_json"),
    (b'{"message":"cut off"', "invalid_json"),
    (b'{"message":1}}', "invalid_json"),
    (b'{"message":tru}', "invalid_json"),
    (b'{"message":NaN}', "invalid_json"),
    (b"{'message':1}", "invalid_json"),
    (b'{"message":01}', "invalid_json"),
    (b'{"a":1,}', "invalid_json"),
    (b'{"message":"a\tb"}', "invalid_json"),
    (b'{"message":"a\0b"}', "invalid_json"),
    (b'{"message":"good"}\0', "invalid_json"),
    (b'{"message":"\xff"}', "invalid_utf8"),
    (b'{"message":"\xed\xa0\x80"}', "invalid_utf8"),
    (b'{"message":"\xc0\xaf"}', "invalid_utf8"),
    (rb'{"message":"\ud800"}', "lone_surrogate"),
    (rb'{"message":"\udc00\ud800"}', "lone_surrogate"),
    (b'"text"', "unknown_format"),
    (b"[]", "unknown_format"),
    (b"null", "unknown_format"),
    (b"12", "unknown_format"),
    (b"<999>no priority is so high", "unknown_format"),
    (b'<13>1 - - - - - [broken="structured data', "invalid_syslog"),
    (b'{"number":1e999999}', "number_out_of_range"),
    (b'{"number":-1e400}', "number_out_of_range"),
    (b'{"number":18446744073709551616}', "number_out_of_range"),
    (b'{"number":-9223372036854775809}', "number_out_of_range"),
    (b'{"number":%d}' % 10**100, "number_out_of_range"),
    (b'{"a":1,"b":2,"a":1}', "duplicate_key"),
    (rb'{"a":1,"\u0061":2}', "duplicate_key"),
    (b'{"in":{"x":[{"k":1,"k":2}]}}', "duplicate_key"),
    (b'{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    (b'{"deep":' * 20_000 + b"1" + b"}" * 20_000, "too_deep"),
    (b"{" + b",".join(b'"%d":0' % key for key in range(2_000)) + b"}", "too_many_keys"),
]
"""Lines that are no events, and why."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"INGEST_JOURNAL__SYNC_INTERVAL": "1ms"}
    with Server(tmp_path_factory.mktemp("bad") / "data", environment=environment) as running:
        yield running


class Arrivals:
    """What is added to both journals and to the counters from now on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._events = stored.Follower(server.data_dir, JOURNAL_DIRECTORY)
        self._dead = stored.Follower(server.data_dir, DEAD_DIRECTORY)
        self._rejected = self._count_rejected()

    def events(self) -> list[bytes]:
        return self._events.new()

    def dead_letters(self) -> list[stored.DeadLetter]:
        return stored.parse_dead_letters(self._dead.new())

    def rejected(self) -> dict[str, int]:
        """Return the counters by reason, where they have grown."""
        return dict(self._count_rejected() - self._rejected)

    def _count_rejected(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for listener in self._server.status().listeners:
            total.update(listener.rejected)
        return total


@pytest.fixture
def arrivals(server: Server) -> Arrivals:
    return Arrivals(server)


def test_every_bad_line_is_kept_with_its_reason_and_its_bytes(
    server: Server, arrivals: Arrivals
) -> None:
    """On one connection with good lines before and behind each of them, which are stored."""
    lines = [GOOD]
    for line, _ in BAD:
        lines += [line, GOOD]
    server.deliver(b"\n".join(lines), len(lines))
    assert arrivals.events() == [GOOD] * (len(BAD) + 1)
    letters = arrivals.dead_letters()
    assert [(letter.line, letter.reason) for letter in letters] == BAD
    assert all(letter.length == len(letter.line) for letter in letters)
    assert not any(letter.truncated for letter in letters)
    assert all(letter.peer and letter.peer.startswith("127.0.0.1:") for letter in letters)
    assert {letter.listener for letter in letters} == {server.status().listeners[0].name}
    assert arrivals.rejected() == Counter(reason for _, reason in BAD)


@pytest.mark.parametrize("filling", [b"x", b'{"a":1}', "ž".encode(), b"\0\xff"])
def test_ten_megabytes_without_a_newline_keep_their_beginning(
    filling: bytes, server: Server, arrivals: Arrivals
) -> None:
    """The line is skipped to its end, and its connection lives on."""
    line = b"{" + filling * (10_000_000 // len(filling))
    server.deliver(GOOD + b"\n" + line + b"\n" + GOOD, 3)
    assert arrivals.events() == [GOOD, GOOD]
    (letter,) = arrivals.dead_letters()
    assert (letter.reason, letter.truncated) == ("line_too_long", True)
    assert letter.length == len(line)
    assert letter.line == line[:LINE_LIMIT]
    assert arrivals.rejected() == {"line_too_long": 1}


def test_the_longest_line_is_an_event_and_a_longer_one_is_not(
    server: Server, arrivals: Arrivals
) -> None:
    """The limit is exact."""
    longest = b'{"message":"' + b"x" * (LINE_LIMIT - 14) + b'"}'
    server.deliver(longest + b"\n" + longest + b" \n", 2)
    assert arrivals.events() == [longest]
    (letter,) = arrivals.dead_letters()
    assert (letter.reason, letter.length, letter.line) == ("line_too_long", LINE_LIMIT + 1, longest)


def test_blank_lines_are_nothing(server: Server, arrivals: Arrivals) -> None:
    """Neither events nor dead letters, and not counted; CRLF ends a line as LF does."""
    server.deliver(b"\n\r\n \t \n" + GOOD + b"\r\n\n\n \n" + GOOD + b" \r\n\n", 2)
    assert arrivals.events() == [GOOD, GOOD]
    assert arrivals.dead_letters() == []


def test_a_bad_datagram_is_kept_like_a_bad_line(server: Server, arrivals: Arrivals) -> None:
    """With the listener and the sender that it came from."""
    before = server.status().ledger.received
    server.send_datagrams(b"no event")
    server.send_datagrams(GOOD + b"\n" + GOOD)
    server.settle(before + 3)
    assert arrivals.events() == [GOOD, GOOD]
    (letter,) = arrivals.dead_letters()
    assert (letter.line, letter.reason) == (b"no event", "unknown_format")
    assert letter.listener == server.status().listeners[1].name
    assert letter.peer


def test_a_connection_that_is_reset_leaves_no_trace_but_its_lines(
    server: Server, arrivals: Arrivals
) -> None:
    """What was complete is stored, what was begun is an incomplete frame; the server goes on."""
    before = server.status().ledger.received
    connection = server.connect()
    connection.sendall(GOOD + b'\n{"message":"beg')
    server.settle(before + 1)
    connection.setsockopt(*RESET_ON_CLOSE)
    connection.close()
    server.settle(before + 2)
    assert arrivals.events() == [GOOD]
    (letter,) = arrivals.dead_letters()
    assert (letter.line, letter.reason) == (b'{"message":"beg', "incomplete_frame")


def test_idle_and_creeping_connections_cost_the_others_nothing(
    server: Server, arrivals: Arrivals
) -> None:
    """2,000 connections, every other with one byte sent: good events are stored meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < IDLE_CONNECTIONS + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE_CONNECTIONS + 200, hard))
    before = server.status().ledger.received
    with ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(IDLE_CONNECTIONS)]
        for connection in idle[::2]:
            connection.sendall(b"{")
        wait_until(lambda: open_connections(server) == IDLE_CONNECTIONS)
        server.deliver(b"".join(b'{"number":%d}\n' % number for number in range(20_000)), 20_000)
        assert arrivals.events() == [b'{"number":%d}' % number for number in range(20_000)]
        assert open_connections(server) == IDLE_CONNECTIONS

        # The slowest of them are served in the end like anybody else.
        idle[0].sendall(b"}\n")
        idle[1].sendall(b"{}\n")
        server.settle(before + 20_002)
        assert arrivals.events() == [b"{}", b"{}"]
    # What was begun and never ended: one byte each, all of them but the one that did end.
    server.settle(before + 20_002 + IDLE_CONNECTIONS // 2 - 1)
    letters = arrivals.dead_letters()
    assert {(letter.line, letter.reason) for letter in letters} == {(b"{", "invalid_json")}
    assert len(letters) == IDLE_CONNECTIONS // 2 - 1
    wait_until(lambda: open_connections(server) == 0)


def open_connections(server: Server) -> int:
    """Return how many connections the workers hold."""
    return sum(worker.connections for worker in server.status().workers)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "č"]), inner, max_size=4)
    ),
    max_leaves=10,
)
json_lines = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(),
    st.dictionaries(st.sampled_from(["message", "x", "y"]), json_values) | json_values,
    st.booleans(),
)
any_lines = st.binary(max_size=40).map(lambda line: line.replace(b"\n", b""))
damaged_lines = st.builds(
    lambda line, at, byte: line[:at] + byte + line[at + 1 :],
    json_lines,
    st.integers(0, 40),
    st.binary(max_size=1).filter(lambda byte: byte != b"\n"),
)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    lines=st.lists(json_lines | any_lines | damaged_lines, max_size=20),
    pieces=st.lists(st.integers(1, 60), max_size=5),
)
def test_every_line_is_an_event_or_a_dead_letter_exactly_once(
    server: Server, arrivals: Arrivals, lines: list[bytes], pieces: list[int]
) -> None:
    """Whatever the bytes are and wherever a write ends; every event is a JSON object."""
    before = server.status().ledger.received
    lines = [GOOD, *(line for line in lines if not COUNT.match(line.lstrip(NOTHING)))]
    expected = Counter(frame for line in lines if (frame := line.lstrip(NOTHING)))
    rest = b"\n".join(lines)
    with server.connect() as connection:
        for length in pieces:
            connection.sendall(rest[:length])
            rest = rest[length:]
        connection.sendall(rest)
    server.settle(before + expected.total())
    events = arrivals.events()
    dead = [letter.line for letter in arrivals.dead_letters()]
    for event in events:
        assert isinstance(json.loads(event), dict)
    # The blanks around an event are no part of it; those around a bad line are.
    accepted = expected - Counter(dead)
    assert accepted.total() == expected.total() - len(dead)
    assert Counter(line.strip(BLANKS) for line in accepted.elements()) == Counter(events)
