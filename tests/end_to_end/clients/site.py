"""The server that docs/senders.md configures, with an authority that its clients trust."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest.contract import JOURNAL_DIRECTORY
from tests.certificates import Authority
from tests.end_to_end.clients.documented import block, configuration, in_directory
from tests.harness import Server
from tests.stored import Follower

BALANCER = "127.0.0.9"
"""The address that the server believes when it tells who sent something."""
SUBJECT = "CN=till-7,O=Branch Offices"
Event = dict[str, Any]


class Site:
    """The running server, and what clients need to reach it."""

    def __init__(self, server: Server, authority: Authority, directory: Path) -> None:
        self.server = server
        self.authority = authority
        self.directory = directory
        """Where `/etc/ingest` and `/run/ingest` of the page are."""

    def address(self, listener: str) -> tuple[str, int]:
        """Return where a listener is bound; a Unix socket is named, without a port."""
        found = next(one for one in self.server.running().listeners if one.name == listener)
        host, _, port = found.address.rpartition(":")
        return (host, int(port)) if host else (found.address, 0)

    def configuration(self, title: str, listener: str) -> str:
        """Return a block of the page that sends to a listener."""
        return configuration(title, self.address(listener)[1], self.directory)

    def counted(self, listener: str, metric: str, label: str | None = None) -> int:
        """Return a counter of a listener, over all workers."""
        region = self.server.region
        at = region.listeners.index(listener)
        return sum(
            region.get(worker, metric, listener=at, label=label) for worker in range(region.workers)
        )

    @contextmanager
    def arriving(self, count: int) -> Iterator[list[Event]]:
        """Yield a list that holds, behind the block, the events that were stored during it.

        Exactly so many must have been received, and every one of them stored.
        """
        journal = Follower(self.server.data_dir, JOURNAL_DIRECTORY)
        before = self.server.status().ledger
        events: list[Event] = []
        yield events
        ledger = self.server.settle(before.received + count)
        events += map(json.loads, journal.new())
        assert ledger.journaled - before.journaled == len(events) == count


@contextmanager
def documented_site(directory: Path, more: str = "") -> Iterator[Site]:
    """Run the server of the page on addresses of this machine, with more listeners."""
    authority = Authority(directory, "ca")
    authority.issue(
        "server",
        subject="/CN=logs.example.com",
        alternatives="DNS:logs.example.com,IP:127.0.0.1",
    )
    authority.issue(
        "client", subject="/O=Branch Offices/CN=till-7", alternatives="DNS:till-7.example.com"
    )
    text = re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", block("ingest.toml") + more)
    config = directory / "ingest.toml"
    config.write_text(in_directory(text, directory).replace("10.0.0.1/32", f"{BALANCER}/32"))
    arguments = ["--config", str(config)]
    with Server(directory / "data", pipeline=None, arguments=arguments) as server:
        yield Site(server, authority, directory)
