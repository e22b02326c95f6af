"""Behind HAProxy every event still names the sender that it came from."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.clients.haproxy import haproxy
from tests.end_to_end.clients.site import BALANCER, Site, documented_site
from tests.harness import PATIENCE_SECONDS

SENDERS = [f"127.0.0.{number}" for number in range(2, 9)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with documented_site(tmp_path_factory.mktemp("balancer")) as running:
        yield running


@pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
def test_events_name_their_sender_and_the_balancer(header: str, site: Site, tmp_path: Path) -> None:
    """In either version of the PROXY protocol; the balancer's health checks are no events."""
    listener = site.address("balanced")
    with haproxy([listener, listener], tmp_path, header=header) as address:
        with site.arriving(len(SENDERS)) as events:
            for sender in SENDERS:
                with socket.create_connection(
                    address, timeout=PATIENCE_SECONDS, source_address=(sender, 0)
                ) as connection:
                    connection.sendall(json.dumps({"message": sender}).encode())
    for event in events:
        origin = event["diagnostics"]["ingest"]
        assert origin["peer"].rpartition(":")[0] == event["message"]
        assert origin["proxy"] == BALANCER
    assert Counter(event["message"] for event in events) == Counter(SENDERS)
