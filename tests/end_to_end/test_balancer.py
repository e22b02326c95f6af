"""Behind HAProxy every event still names the sender that it came from."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.clients.haproxy import haproxy
from tests.end_to_end.clients.openssl import in_good_standing, s_client
from tests.end_to_end.clients.site import BALANCER, SUBJECT, Site, documented_site
from tests.harness import PATIENCE_SECONDS, wait_until

SENDERS = [f"127.0.0.{number}" for number in (2, 3, 4, 5)]
MORE_LISTENERS = """
[[listeners]]
name = "balanced-too"
kind = "tcp"
address = "0.0.0.0:5144"
proxies = ["10.0.0.1/32"]

[[listeners]]
name = "balanced-tls"
kind = "tls"
address = "0.0.0.0:6514"
proxies = ["10.0.0.1/32"]
[listeners.tls]
certificate = "/etc/ingest/server.pem"
key = "/etc/ingest/server.key"
client_ca = "/etc/ingest/ca.pem"
client_auth = "required"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with documented_site(tmp_path_factory.mktemp("balancer"), MORE_LISTENERS) as running:
        yield running


@pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
def test_connections_taken_in_turn_keep_their_senders(
    header: str, site: Site, tmp_path: Path
) -> None:
    """In either version of the PROXY protocol, each of two listeners gets every other one."""
    names = ("balanced", "balanced-too")
    addresses = [site.address(name) for name in names]
    with (
        haproxy(addresses, tmp_path, header=header) as address,
        site.arriving(2 * len(SENDERS)) as events,
    ):
        for sender in SENDERS * 2:
            with socket.create_connection(
                address, timeout=PATIENCE_SECONDS, source_address=(sender, 0)
            ) as connection:
                connection.sendall(json.dumps({"message": sender}).encode())
    origins = [event["diagnostics"]["ingest"] for event in events]
    for event, origin in zip(events, origins, strict=True):
        assert origin["peer"].rpartition(":")[0] == event["message"]
        assert origin["proxy"].rpartition(":")[0] == BALANCER
    assert Counter(event["message"] for event in events) == Counter(SENDERS * 2)
    assert Counter(origin["listener"] for origin in origins) == dict.fromkeys(names, len(SENDERS))


def test_a_sender_is_known_by_its_certificate_too(site: Site, tmp_path: Path) -> None:
    """TLS goes through the balancer to the server; the header stands in front of it."""
    address = site.address("balanced-tls")
    with haproxy([address, address], tmp_path) as front, site.arriving(1) as events:
        options = [*in_good_standing(site), "-bind", "127.0.0.2:0"]
        s_client(front, b'{"message":"behind a balancer"}\n', *options)
    origin = events[0]["diagnostics"]["ingest"]
    assert origin["peer"].startswith("127.0.0.2:")
    assert origin["proxy"].rpartition(":")[0] == BALANCER
    assert origin["tls"]["subject"] == SUBJECT


def test_health_checks_are_no_events_and_no_mistakes(site: Site, tmp_path: Path) -> None:
    """HAProxy connects, says that it speaks for itself, and goes away again."""
    listener = "balanced"
    before = site.counted(listener, "ingest_connections_opened_total")
    refused = site.counted(listener, "ingest_connections_refused_total", "proxy_header")
    with (
        haproxy([site.address(listener)] * 2, tmp_path, check="check inter 10ms"),
        site.arriving(0),
    ):
        wait_until(lambda: site.counted(listener, "ingest_connections_closed_total") > before + 5)
    assert site.counted(listener, "ingest_connections_refused_total", "proxy_header") == refused
