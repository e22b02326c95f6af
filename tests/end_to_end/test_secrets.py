"""What a redactor masks is nowhere: not in a journal, a dead letter, a log or an answer."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from tests import stored
from tests.differential.profile import examples
from tests.end_to_end.planting import (
    CONFIGURATION,
    LINE_LIMIT,
    MARK,
    TEMPLATES,
    Planted,
    everything,
    plant,
    stored_text,
)
from tests.harness import Server

Change = Callable[[bytes], bytes]
PLANTED = re.compile(MARK + rb"\d{4}")


def enveloped(line: bytes) -> bytes:
    """Put an event into an envelope. Around anything else that is an event of its own."""
    if not line.strip().startswith(b"{"):
        return line
    return b'{"schema_version":"1.1","log":' + line + b"}"


HARMLESS: tuple[Change, ...] = (
    lambda line: line,
    lambda line: b" \t" + line + b" ",
    lambda line: line.replace(b'":', b'" :\t '),
    enveloped,
)
"""The line stays an event."""
REJECTED: tuple[Change, ...] = (
    lambda line: line + b" trailing",
    lambda line: line + line,
    lambda line: line[:-1],
    lambda line: line[:-1] + b",}",
    lambda line: line[:-1] + b',"big":18446744073709551616}',
    lambda line: line[:-1] + b',"z":1,"\\u007a":2}',
    lambda line: line[:-1] + b',"z":"\\ud800"}',
    lambda line: line[:-1] + b',"z":"\xff\xfe"}',
    lambda line: line[:-1] + b',"z":' + b"[" * 70 + b"]" * 70 + b"}",
    lambda line: line[:-1] + b',"z":{' + b",".join(b'"%d":0' % at for at in range(200)) + b"}}",
    lambda line: line[:-1] + b',"z":"' + b"z" * LINE_LIMIT + b'"}',
    lambda line: b"[" + line + b"," + line + b"]",
    lambda line: b"\xef\xbb\xbf" + line,
    lambda line: b"<13>Nov 22 01:02:03 host app[1]: " + line,
    lambda line: enveloped(line) + b",",
)
"""It does not, but what belongs to which key is clear up to where the neighbour is."""
BROKEN: tuple[Change, ...] = (
    lambda line: line + b"}",
    lambda line: line.replace(b":", b"", 1),
    lambda line: line.replace(b'":"', b'" "', 1),
    lambda line: line.replace(b'"', b"'"),
    lambda line: line[1:],
    lambda line: line[line.index(b":") :],
    lambda line: b'"' + line,
    lambda line: b"}" + line,
    lambda line: b'{"a":"' * (b'"' in line.replace(b'\\"', b"")) + line,
    lambda line: line.replace(b"{", b"{\n").replace(b",", b",\n").replace(b"}", b"\n}"),
    lambda line: line.replace(MARK, b"\n" + MARK),
    lambda line: line.replace(b'"', b'\\"'),
    lambda line: line[: line.index(MARK) + 12],
)
"""Nobody knows what belongs to which key."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("secrets")
    configuration = directory / "ingest.toml"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    arguments = ("--config", str(configuration))
    addresses = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
    with Server(directory / "data", pipeline=None, arguments=(*arguments, *addresses)) as running:
        yield running
        # Of all that the tests have planted, in whatever order they ran.
        assert not leaked(running)
        assert running.status().ledger.closed


def leaked(server: Server) -> set[bytes]:
    """Return the secrets that are found anywhere, with what is in front of them."""
    found = everything(server)
    return {found[at.start() - 40 : at.end()] for at in PLANTED.finditer(found)}


def frames(payload: bytes) -> int:
    """Return how many frames that is: blank lines are none."""
    return sum(bool(line.lstrip(b" \t\r\0")) for line in payload.split(b"\n"))


def frames_of_datagram(payload: bytes) -> int:
    """Return how many frames that is: lines only where the first is JSON."""
    return frames(payload) if payload.lstrip(b" \t\r\n\0")[:1] == b"{" else 1


def deliver(server: Server, planted: list[Planted]) -> bytes:
    """Send lines over TCP; return what was stored of them."""
    journals = [stored.Follower(server.data_dir, at) for at in (JOURNAL_DIRECTORY, DEAD_DIRECTORY)]
    # The first terminator of a connection says which one it has.
    payload = b'{"message":"first"}\n' + b"".join(one.line + b"\n" for one in planted)
    server.deliver(payload, frames(payload))
    return stored_text([line for journal in journals for line in journal.new()])


def assert_hidden(found: bytes, planted: list[Planted]) -> None:
    """Fail where a secret is found."""
    for one in planted:
        assert one.secret[:10] not in found, one.line


def assert_neighbours(found: bytes, planted: list[Planted]) -> None:
    """Fail where something else is missing."""
    for one in planted:
        # In an envelope in an envelope nobody knows where the event is.
        is_clear = one.line.count(b"schema_version") < 2
        if is_clear and one.neighbour in one.line:
            assert one.neighbour in found, one.line


def changed(planted: Planted, *changes: Change) -> Planted:
    """Return the line after some changes, in their order."""
    line = planted.line
    for change in changes:
        line = change(line)
    return planted._replace(line=line)


class TestSecrets:
    """Those that all tests planted are looked for once more at the end, everywhere."""

    @pytest.mark.parametrize("change", HARMLESS)
    def test_secrets_in_events_are_masked_and_their_neighbours_are_not(
        self, server: Server, change: Change
    ) -> None:
        planted = [changed(plant(template), change) for template in TEMPLATES]
        found = deliver(server, planted)
        assert_hidden(found, planted)
        assert_neighbours(found, planted)

    @pytest.mark.parametrize("change", REJECTED)
    def test_secrets_in_rejected_lines_are_masked_and_their_neighbours_are_not(
        self, server: Server, change: Change
    ) -> None:
        planted = [changed(plant(template), change) for template in TEMPLATES]
        found = deliver(server, planted)
        assert_hidden(found, planted)
        assert_neighbours(found, planted)

    @pytest.mark.parametrize("change", BROKEN)
    def test_secrets_in_broken_lines_are_masked(self, server: Server, change: Change) -> None:
        planted = [changed(plant(template), change) for template in TEMPLATES]
        assert_hidden(deliver(server, planted), planted)

    @examples(30)
    @given(data=st.data())
    def test_secrets_are_masked_however_a_line_is_mutilated(
        self, server: Server, data: st.DataObject
    ) -> None:
        """Up to three times, and cut somewhere; a piece of ten digits is a secret still."""
        changes = st.lists(st.sampled_from((*HARMLESS, *REJECTED, *BROKEN)), max_size=3)
        planted = []
        for _ in range(8):
            template = data.draw(st.sampled_from(TEMPLATES))
            one = plant(template)
            for change in data.draw(changes):
                one = changed(one, change) if b":" in one.line and MARK in one.line else one
            cut = data.draw(st.none() | st.integers(0, len(one.line)))
            planted.append(one._replace(line=one.line[:cut]))
        assert_hidden(deliver(server, planted), planted)

    def test_secrets_are_masked_at_the_depth_limit_and_beyond(self, server: Server) -> None:
        planted = []
        for depth in range(1, 40):
            one = plant('{"token":"S"}')
            planted.append(changed(one, *[lambda line: b'{"a":[' + line + b"]}"] * depth))
        assert_hidden(deliver(server, planted), planted)

    @pytest.mark.parametrize("size", [LINE_LIMIT // 2, LINE_LIMIT, 1 << 20])
    def test_secrets_of_any_size_are_masked(self, server: Server, size: int) -> None:
        """In front of the limit of a line, across it, and far beyond."""
        templates = ('{"token":"S"}', '{"u":"https://u:S@h"}', '{"token":["S"],"n":"N"}')
        planted = [
            one._replace(line=one.line.replace(one.secret, one.secret * (size // 12)))
            for one in map(plant, templates)
        ]
        assert_hidden(deliver(server, planted), planted)

    def test_secrets_in_datagrams_are_masked(self, server: Server) -> None:
        changes = (*HARMLESS, *REJECTED, *BROKEN)
        planted = [changed(plant(TEMPLATES[at]), change) for at, change in enumerate(changes)]
        received = server.status().ledger.received
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for one in planted:
                sender.sendto(one.line, server.address("udp"))
        server.settle(received + sum(frames_of_datagram(one.line) for one in planted))

    def test_secrets_are_masked_when_the_connection_is_cut(self, server: Server) -> None:
        """The last piece is a line of its own."""
        for template in TEMPLATES:
            one = plant(template)
            server.deliver(one.line[: one.line.index(one.secret) + 12], 1)

    def test_no_secret_is_anywhere(self, server: Server) -> None:
        """In files as they are, in answers of the server and of commands, and in the log."""
        planted = [changed(plant(TEMPLATES[0]), change) for change in (*HARMLESS, *REJECTED)]
        deliver(server, planted)
        assert_neighbours(everything(server), planted)
        assert not leaked(server)


PLUGIN = '''
class _Leaky:
    """Raises, at the events that name its kind, what quotes the event."""

    async def _fail(self, event):
        if type(self).__name__ == event["message"]:
            try:
                raise ValueError(repr(event))
            except ValueError as error:
                raise RuntimeError(event, "quoted") from error

class Filter(_Leaky):
    name = "filter"
    async def filter(self, event):
        await self._fail(event)
        return event

class Enricher(_Leaky):
    name = "enricher"
    async def enrich(self, event):
        await self._fail(event)
        return {}

class Redactor(_Leaky):
    name = "redactor"
    async def redact(self, event):
        await self._fail(event)
        event["data"]["seen"] = True
        return event
'''


@pytest.mark.parametrize("fail", ["open", "closed", "dead_letter"])
def test_secrets_that_a_plugin_quotes_when_it_fails_are_nowhere(tmp_path: Path, fail: str) -> None:
    """Whatever becomes of the event; a redactor that is `open` leaves it to the others."""
    (tmp_path / "leaky.py").write_text(PLUGIN)
    names = [f"leaky:{kind}" for kind in ("Filter", "Enricher", "Redactor")]
    pipeline = {
        "filters": names[:1],
        "enrichers": ["origin", names[1]],
        "redactors": [names[2], "field_mask"],
        "config": {"field_mask": {"fields_to_mask": ["data.password"]}},
        "policy": {name: {"fail": fail, "breaker_failures": 1000} for name in names},
    }
    environment = {"PYTHONPATH": str(tmp_path)}
    with Server(
        tmp_path / "data", workers=1, pipeline=json.dumps(pipeline), environment=environment
    ) as server:
        kinds = ("Filter", "Enricher", "Redactor", "other")
        planted = [
            plant(f'{{"message":"{kind}","data":{{"password":"S","n":"N"}}}}') for kind in kinds
        ]
        server.send_lines(*(one.line for one in planted))
        ledger = server.settle(len(planted))
        found = everything(server)
        assert not PLANTED.findall(found)
        assert_neighbours(found, planted if fail == "open" else planted[3:])
        fates = {"open": (4, 0, 0), "closed": (1, 3, 0), "dead_letter": (1, 0, 3)}
        fate = ledger.journaled, sum(ledger.dropped.values()), ledger.dead_lettered
        assert fate == fates[fail]
        assert fail == "open" or server.log().count("ValueError") == 0
