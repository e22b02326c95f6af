"""What tells one case from another: what is sent, how, and what the server is set to do."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.generator import Format, Transport

Journal = Literal["auto", "none", "zstd", "off"]
"""`journal.compression`; `off` is a server whose writes do nothing."""
Sync = Literal["25ms", "off"]
"""`25ms` is the group commit as it is set; `off` is a server whose syncs do nothing."""


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are those of the reference."""

    pipeline: str = "reference"
    """The name of a file in bench/configurations/."""
    message_format: Format = msgspec.field(default="json", name="format")
    event_bytes: int = 320
    """About so many; exactly, where it is another number than the format comes with."""
    transport: Transport = "tcp"
    connections: int = 4
    """For datagrams the sockets that send."""
    journal: Journal = "auto"
    sync: Sync = "25ms"
