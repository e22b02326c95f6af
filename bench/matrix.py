"""The table of cases: a reference, and what differs from it in one thing each.

The reference is JSON of about 320 bytes over four TCP connections through the pipeline of a careful
installation into a journal that is synced every 25 ms and compressed only where the disk is the
limit.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from bench.parameters import Parameters

Group = Literal["pipelines", "formats", "transports", "connections", "sizes", "journal"]
GROUPS: tuple[Group, ...] = get_args(Group)


class Case(msgspec.Struct, frozen=True):
    """Something to measure."""

    name: str
    group: Group
    """The table of the report that it stands in."""
    parameters: Parameters
    compared_to: str | None = "reference"
    """The case that its ratios are to."""
    share: float = 1.0
    """Of the events of a run: a slow case gets fewer, to take about as long."""
    is_quick: bool = True
    """Whether it is measured without being asked for."""


CASES = (
    Case("reference", "pipelines", Parameters(), compared_to=None),
    Case("raw", "pipelines", Parameters(pipeline="none")),
    Case("credentials", "pipelines", Parameters(pipeline="credentials")),
    Case("envelope", "pipelines", Parameters(pipeline="envelope"), is_quick=False),
    Case("plugin", "pipelines", Parameters(pipeline="plugin"), share=0.1),
    Case("python", "pipelines", Parameters(pipeline="python"), share=0.04),
    Case("syslog-5424", "formats", Parameters(message_format="rfc5424", event_bytes=200)),
    Case("syslog-3164", "formats", Parameters(message_format="rfc3164", event_bytes=200)),
    Case("tls", "transports", Parameters(transport="tls")),
    Case(
        "udp",
        "transports",
        Parameters(transport="udp", message_format="rfc5424", event_bytes=200),
        compared_to="syslog-5424",
    ),
    Case(
        "udp-50",
        "transports",
        Parameters(transport="udp", message_format="rfc5424", event_bytes=200, connections=50),
        compared_to="syslog-5424",
        is_quick=False,
    ),
    Case("connections-1", "connections", Parameters(connections=1)),
    Case("connections-64", "connections", Parameters(connections=64), is_quick=False),
    Case("connections-1000", "connections", Parameters(connections=1000)),
    Case("connections-5000", "connections", Parameters(connections=5000)),
    Case("bytes-100", "sizes", Parameters(event_bytes=100)),
    Case("bytes-1024", "sizes", Parameters(event_bytes=1024), share=0.5, is_quick=False),
    Case("bytes-8192", "sizes", Parameters(event_bytes=8192), share=0.08),
    Case("journal-off", "journal", Parameters(journal="off", sync="off")),
    Case("journal-none", "journal", Parameters(journal="none"), is_quick=False),
    Case("journal-zstd", "journal", Parameters(journal="zstd")),
    Case("sync-off", "journal", Parameters(sync="off"), is_quick=False),
)
BY_NAME = {case.name: case for case in CASES}
QUICK = tuple(case.name for case in CASES if case.is_quick)
