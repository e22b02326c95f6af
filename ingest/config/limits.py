"""The bounds that senders are held to: for all of them, and what a listener sets of its own."""

from __future__ import annotations

from pydantic import Field

from ingest.config.quantities import KIB, MIB, Duration, Size
from ingest.config.tables import Table

_LEAST_LINE = KIB
_MOST_LINE = 16 * MIB
_MOST_CONNECTIONS = 1_000_000
_MOST_EVENTS_PER_SECOND = 1_000_000_000
_LONGEST = 365 * 86400.0


class ListenerLimits(Table):
    """Bounds for the senders of this listener, where they differ from [`[limits]`](#limits)."""

    line_bytes: Size | None = Field(
        None, ge=_LEAST_LINE, le=_MOST_LINE, description="The longest line."
    )
    connections: int | None = Field(
        None,
        ge=1,
        le=_MOST_CONNECTIONS,
        description="Open connections of this listener, over all workers; `limits.connections` of"
        " all listeners holds besides.",
    )
    source_connections: int | None = Field(
        None, ge=1, le=_MOST_CONNECTIONS, description="Open connections of one address."
    )
    idle_timeout: Duration | None = Field(
        None, ge=1, le=_LONGEST, description="How long a connection may be silent."
    )
    frame_timeout: Duration | None = Field(
        None, ge=0.1, le=_LONGEST, description="How old an incomplete line may become."
    )
    opening_timeout: Duration | None = Field(
        None, ge=0.1, le=_LONGEST, description="How long a connection may take to open."
    )
    source_events_per_second: int | None = Field(
        None,
        ge=1,
        le=_MOST_EVENTS_PER_SECOND,
        description="Events of one address in a second.",
    )
    source_bytes_per_second: Size | None = Field(
        None, ge=KIB, description="Bytes of one address in a second."
    )


class Limits(Table):
    """The bounds that senders are held to. A line that breaks one goes to the dead letters."""

    line_bytes: Size = Field(
        256 * KIB,
        ge=_LEAST_LINE,
        le=_MOST_LINE,
        description="The longest line; of a longer one the beginning is kept as a dead letter."
        " In a Unix datagram no line is longer than 256KiB.",
    )
    depth: int = Field(64, ge=2, le=1024, description="How deep objects and arrays may nest.")
    keys: int = Field(1024, ge=8, le=65536, description="How many keys one event may have in all.")
    connections: int = Field(
        20_000,
        ge=1,
        le=_MOST_CONNECTIONS,
        description="Open connections, over all workers and listeners; more wait in the queue of"
        " the kernel.",
    )
    source_connections: int = Field(
        10_000,
        ge=1,
        le=_MOST_CONNECTIONS,
        description="Open connections of one address, over all workers; more are refused.",
    )
    idle_timeout: Duration | None = Field(
        None,
        ge=1,
        le=_LONGEST,
        description="A connection that has been silent for so long is closed. Not given: none is,"
        " for classic syslog senders lose what they write to a connection that was closed on them;"
        " TCP keep-alive finds peers that are gone within two minutes.",
    )
    frame_timeout: Duration = Field(
        300.0,
        ge=0.1,
        le=_LONGEST,
        description="A connection whose line is still incomplete after so long is closed.",
    )
    opening_timeout: Duration = Field(
        10.0,
        ge=0.1,
        le=_LONGEST,
        description="How long the PROXY header and the TLS handshake may take together.",
    )
    source_events_per_second: int | None = Field(
        None,
        ge=1,
        le=_MOST_EVENTS_PER_SECOND,
        description="Events of one address in a second, over all workers. Beyond it, its"
        " connections wait and its datagrams are dropped, counted as `rate_limited`."
        " Not given: no limit.",
    )
    source_bytes_per_second: Size | None = Field(
        None,
        ge=KIB,
        description="Bytes of one address in a second, likewise. Not given: no limit.",
    )
    partial_bytes: Size = Field(
        256 * MIB,
        ge=MIB,
        description="Memory for the incomplete lines of all connections, per worker.",
    )
    arena_bytes: Size = Field(
        32 * MIB,
        ge=4 * MIB,
        description="Memory for what was read and not yet stored, per worker.",
    )
    udp_receive_buffer_bytes: Size = Field(
        8 * MIB,
        ge=4 * KIB,
        le=1024 * MIB,
        description="What the kernel is asked to hold for each UDP socket;"
        " it may grant less (`net.core.rmem_max`).",
    )
