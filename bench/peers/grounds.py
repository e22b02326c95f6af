"""The jobs that programs are compared on. All of them are sent the same by the same generator."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.generator import Format, Transport

Name = Literal["json", "syslog", "passthrough", "udp"]

SECRET = b"horse-"
"""How the value begins that every JSON event has at `data.password`."""


class Ground(msgspec.Struct, frozen=True):
    """One job."""

    name: Name
    job: str
    """What has to be done, for people."""
    message_format: Format
    pipeline: str
    """Ours: the name of a file in bench/configurations/."""
    peer_share: float = 1.0
    """Of the events of a run: peers get fewer where they are slower, to take about as long."""
    transport: Transport = "tcp"
    connections: int = 4
    """For datagrams the sockets that send."""


GROUNDS: dict[Name, Ground] = {
    ground.name: ground
    for ground in (
        Ground(
            "json",
            "parse JSON of about 320 bytes, mask or remove one field, add one, write a file"
            " (ours: not the reference pipeline, which also filters by level and masks by pattern)",
            "json",
            "mask",
            peer_share=0.1,
        ),
        Ground(
            "syslog",
            "parse RFC 5424 of about 200 bytes, write a file of JSON",
            "rfc5424",
            "none",
            peer_share=0.2,
        ),
        Ground(
            "passthrough",
            "write lines of syslog of about 200 bytes to a file, unparsed (ours parses them)",
            "rfc3164",
            "none",
            peer_share=0.6,
        ),
        Ground(
            "udp",
            "write datagrams of RFC 5424 of about 200 bytes to a file, unparsed (ours parses them)",
            "rfc5424",
            "none",
            transport="udp",
        ),
    )
}
