"""What existing senders really send becomes the right events, every one of them exactly once.

They are configured as docs/senders.md says.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.clients.messages import COUNT, MESSAGES, PREFIXED
from tests.end_to_end.clients.rsyslog import rsyslog
from tests.end_to_end.clients.site import SUBJECT, Event, Site, documented_site
from tests.end_to_end.clients.syslog_ng import syslog_ng
from tests.harness import PATIENCE_SECONDS
from tests.stored import tool

HOST = "till-7"
THIS_HOST = socket.gethostname().partition(".")[0]
ENVIRONMENT = {**os.environ, "TZ": "UTC"}
RECORDS = [
    (logging.CRITICAL, "the disk is full"),
    (logging.ERROR, "платёж отклонён 💳"),
    (logging.WARNING, "a message\nof two lines, <13>misleading"),
    (logging.INFO, '17 {"begins":"like a count"}'),
    (logging.DEBUG, 'a "quotation", a \\ and [brackets]'),
]
LOG_RECORDS = """
import sys
for level, text in json.loads(sys.argv[1]):
    logger.log(level, text)
logging.shutdown()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with documented_site(tmp_path_factory.mktemp("senders")) as running:
        yield running


def run(*command: str, stdin: bytes = b"") -> None:
    """Run a client that ends by itself."""
    subprocess.run(command, input=stdin, check=True, timeout=PATIENCE_SECONDS, env=ENVIRONMENT)


def run_block(site: Site, title: str, listener: str, stdin: bytes = b"") -> None:
    """Run a block of shell; the test is skipped where its program is missing."""
    text = site.configuration(title, listener)
    tool(text.split()[0])
    run(tool("sh"), "-c", text, stdin=stdin)


def without_origin(events: Sequence[Event], listener: str) -> list[Event]:
    """Check where events came from and return the rest of them."""
    for event in events:
        origin = event["diagnostics"].pop("ingest")
        assert origin.get("peer", "").startswith("" if listener == "local" else "127.0.0.1:")
        assert origin["listener"] == listener
        assert origin.get("tls", {}).get("subject") == (SUBJECT if listener == "tls" else None)
        if not event["diagnostics"]:
            del event["diagnostics"]
    return sorted(events, key=json.dumps)


def without_time(events: Sequence[Event], begun: datetime) -> None:
    """Check that messages were sent since then, to the second, and remove their times."""
    for event in events:
        sent = datetime.fromisoformat(event.pop("timestamp"))
        assert begun.replace(microsecond=0) <= sent <= datetime.now(UTC)


class Sender(NamedTuple):
    """A block of the page, where it sends to, and the structured data that its program adds."""

    title: str
    listener: str
    element: str | None = None


Relay = Callable[[str, str, Path], AbstractContextManager[Path]]
RELAYS: list[tuple[Relay, Sender]] = [
    (rsyslog, Sender("rsyslog.conf", "tcp")),
    (rsyslog, Sender("rsyslog-short.conf", "tcp")),
    (rsyslog, Sender("rsyslog-udp.conf", "udp")),
    (rsyslog, Sender("rsyslog-tls.conf", "tls")),
    (syslog_ng, Sender("syslog-ng.conf", "tcp", "meta")),
    (syslog_ng, Sender("syslog-ng-short.conf", "tcp")),
    (syslog_ng, Sender("syslog-ng-udp.conf", "udp", "meta")),
    (syslog_ng, Sender("syslog-ng-tls.conf", "tls", "meta")),
]
LOGGERS = [
    Sender("logger-counted.sh", "tcp", "timeQuality"),
    Sender("logger-tcp.sh", "tcp", "timeQuality"),
    Sender("logger-udp.sh", "udp", "timeQuality"),
    Sender("logger-rfc3164.sh", "tcp"),
    Sender("logger-unix.sh", "local"),
]


def check_messages(events: Sequence[Event], sender: Sender, host: str, begun: datetime) -> None:
    """Fail unless these are the events of all messages."""
    without_time(events, begun)
    for event in events:
        assert list(event.pop("data", {})) == ([sender.element] if sender.element else [])
        # `logger` names the host with its domain if there is one, and not at all to a local socket.
        named = event["diagnostics"].pop("hostname", "").partition(".")[0]
        assert named == ("" if sender.listener == "local" else host)
    expected = [message.event() for message in MESSAGES]
    assert without_origin(events, sender.listener) == sorted(expected, key=json.dumps)


@pytest.mark.parametrize(("relay", "sender"), RELAYS, ids=[one.title for _, one in RELAYS])
def test_a_relay_forwards_what_programs_of_its_host_log(
    relay: Relay, sender: Sender, site: Site, tmp_path: Path
) -> None:
    """Rsyslog and syslog-ng: over TCP, UDP and mutual TLS, counted and with newlines."""
    begun = datetime.now(UTC)
    forwarding = site.configuration(sender.title, sender.listener)
    with relay(forwarding, HOST, tmp_path) as source, site.arriving(COUNT) as events:
        command = (tool("logger"), "-u", str(source), "-t", "checkout", "--prio-prefix")
        run(*command, stdin=PREFIXED)
    check_messages(events, sender, HOST, begun)


@pytest.mark.parametrize("sender", LOGGERS, ids=[one.title for one in LOGGERS])
def test_logger_sends_each_line_of_its_input(sender: Sender, site: Site) -> None:
    """Both formats, counted and with newlines, over TCP and UDP."""
    begun = datetime.now(UTC)
    with site.arriving(COUNT) as events:
        run_block(site, sender.title, sender.listener, PREFIXED)
    check_messages(events, sender, THIS_HOST, begun)


def test_structured_data_of_logger_are_data(site: Site) -> None:
    """Beside process, message ID and priority."""
    begun = datetime.now(UTC)
    with site.arriving(1) as events:
        run_block(site, "logger-structured.sh", "tcp")
    without_time(events, begun)
    (event,) = without_origin(events, "tcp")
    assert event["data"].pop("timeQuality")
    assert event["diagnostics"].pop("hostname").partition(".")[0] == THIS_HOST
    assert event == {
        "level": "ERROR",
        "message": "payment refused",
        "logger": "checkout",
        "diagnostics": {
            "facility": "local3",
            "severity": "error",
            "procid": "4711",
            "msgid": "REFUSED",
        },
        "data": {"order@32473": {"total": "17.50", "currency": "EUR"}},
    }


def test_json_that_a_program_logs_to_syslog_is_the_event(site: Site) -> None:
    """Only what the object leaves open is taken from syslog."""
    begun = datetime.now(UTC)
    logged = {"level": "CRITICAL", "message": "payment refused", "data": {"total": 17.5}}
    with site.arriving(1) as events:
        run_block(site, "logger-rfc3164.sh", "tcp", f"<155>{json.dumps(logged)}\n".encode())
    without_time(events, begun)
    assert events[0]["diagnostics"].pop("hostname")
    diagnostics = {"facility": "local3", "severity": "error"}
    expected = {**logged, "logger": "checkout", "diagnostics": diagnostics}
    assert without_origin(events, "tcp") == [expected]


@pytest.mark.parametrize(("socket_type", "listener"), [("STREAM", "tcp"), ("DGRAM", "udp")])
def test_records_of_python_keep_their_line_breaks(
    socket_type: str, listener: str, site: Site
) -> None:
    """SysLogHandler ends messages with a zero byte, in a stream and in datagrams."""
    program = site.configuration("syslog_handler.py", listener)
    program = program.replace("SOCK_STREAM", f"SOCK_{socket_type}")
    with site.arriving(len(RECORDS)) as events:
        run(sys.executable, "-c", f"import json\n{program}{LOG_RECORDS}", json.dumps(RECORDS))
    expected = [
        {
            "level": logging.getLevelName(level),
            "message": text,
            "logger": "checkout",
            "diagnostics": {
                "facility": "local3",
                "severity": {"INFO": "informational"}.get(
                    logging.getLevelName(level), logging.getLevelName(level).lower()
                ),
            },
        }
        for level, text in RECORDS
    ]
    assert without_origin(events, listener) == sorted(expected, key=json.dumps)


def test_records_of_python_as_json_lines(site: Site) -> None:
    """A SocketHandler that sends JSON: every record is an event as it is."""
    program = site.configuration("json_handler.py", "tcp")
    begun = datetime.now(UTC)
    with site.arriving(len(RECORDS)) as events:
        run(sys.executable, "-c", program + LOG_RECORDS, json.dumps(RECORDS))
    without_time(events, begun)
    assert all(event["diagnostics"].pop("procid").isdigit() for event in events)
    expected = [
        {"level": logging.getLevelName(level), "logger": "checkout", "message": text}
        for level, text in RECORDS
    ]
    assert without_origin(events, "tcp") == sorted(expected, key=json.dumps)


@pytest.mark.parametrize(("title", "listener"), [("nc-tcp.sh", "tcp"), ("openssl.sh", "tls")])
def test_lines_by_hand_of_either_format(title: str, listener: str, site: Site) -> None:
    """JSON lines and syslog take turns on one connection."""
    plain: list[Event] = [{"level": "INFO", "message": f"number {at}"} for at in range(4)]
    messages = MESSAGES[:4]
    lines = [
        line
        for event, message in zip(plain, messages, strict=True)
        for line in (json.dumps(event), f"{message.prefixed[:5]}checkout: {message.text}")
    ]
    with site.arriving(len(lines)) as events:
        run_block(site, title, listener, "".join(f"{line}\n" for line in lines).encode())
    expected = plain + [message.event() for message in messages]
    assert without_origin(events, listener) == sorted(expected, key=json.dumps)


def test_a_datagram_of_nc_holds_as_many_lines_as_it_read(site: Site) -> None:
    """Each line of JSON is an event."""
    expected: list[Event] = [{"level": "INFO", "message": f"number {at}"} for at in range(9)]
    with site.arriving(len(expected)) as events:
        lines = "".join(f"{json.dumps(event)}\n" for event in expected)
        run_block(site, "nc-udp.sh", "udp", lines.encode())
    assert without_origin(events, "udp") == expected
