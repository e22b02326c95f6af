"""What the roles agree on: how a role is told what to do, and where a running server is found.

A spec travels as JSON on the standard input of `python -m ingest.<role>`; every number in it that
is called a descriptor is a file descriptor the role inherits. Roles never import each other, only
this module, and this module never imports pydantic: a worker must start quickly.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

SERVER_FILE = "server.json"
"""Inside the data directory: the `RunningServer` of the server that works on it."""
REGION_FILE = "region.json"
"""Inside the data directory: the `RegionNote` of the server that works on it, or of one that did
not stop in order."""
LOCK_FILE = "server.lock"
"""Inside the data directory: locked with flock while a server works on it."""
JOURNAL_DIRECTORY = "journal"
"""Inside the data directory: the shards that hold the events."""
DEAD_DIRECTORY = "dead"
"""Inside the data directory: the shards that hold the dead letters."""

ReloadResult = Literal["applied", "unchanged", "refused", "failed"]
ListenerKind = Literal["tcp", "udp", "tls", "unix_stream", "unix_datagram"]
ListenerFormat = Literal["auto", "json", "syslog"]
Unparsed = Literal["dead_letter", "keep"]
ClientAuth = Literal["none", "optional", "required"]
TlsVersion = Literal["1.2", "1.3"]
Compression = Literal["auto", "none", "zstd"]
LogFormat = Literal["json", "pretty"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
StageKind = Literal["filter", "enricher", "redactor", "processor"]
FailurePolicy = Literal["open", "closed", "dead_letter"]
OutputForm = Literal["bare", "envelope"]


class WorkerState(IntEnum):
    """The values of the cell `ingest_worker_state`."""

    GONE = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class IntakePause(IntEnum):
    """The values of the cell `ingest_intake_paused`: why a worker does not read its sockets."""

    RUNNING = 0
    QUEUE_FULL = 1
    NO_SPACE = 2
    DISK_ERROR = 3
    DISK_RESERVE = 4


class DiskPressure(IntEnum):
    """The values of the cell `ingest_disk_pressure`: how much room the data directory has left."""

    NONE = 0
    LOW = 1
    """Less than the low water: people are warned."""
    RESERVE = 2
    """Less than the reserve: nothing is read."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both ends are of one version, so a field that is missing or unknown is a mistake."""


class TlsSpec(_Message, frozen=True):
    """How a listener speaks TLS; PEM files by absolute path."""

    certificate: str
    key: str
    client_ca: str | None
    client_auth: ClientAuth
    minimum_version: TlsVersion


class ListenerLimitsSpec(_Message, frozen=True):
    """What the senders of a listener are held to; None: no limit."""

    line_bytes: int
    connections: int | None
    source_connections: int | None
    idle_seconds: float | None
    frame_seconds: float | None
    opening_seconds: float
    source_events_per_second: int | None
    source_bytes_per_second: int | None


class ListenerSpec(_Message, frozen=True):
    """One listener of a worker slot.

    The worker hands it on as JSON: `ListenerConfig` in native/src/receive/config.rs says what the
    fields mean.
    """

    index: int
    """Of the shared region."""
    name: str
    kind: ListenerKind
    address: str
    descriptor: int | None
    """The inherited socket, bound but not yet listening; None: its connections only live on."""
    format: ListenerFormat
    unparsed: Unparsed
    time_zone: str
    labels: dict[str, str]
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    proxies: tuple[str, ...]
    tls: TlsSpec | None
    limits: ListenerLimitsSpec


class JournalSpec(_Message, frozen=True):
    """How a worker writes its two journals: the events and the dead letters."""

    compression: Compression
    level: int
    sync_interval_seconds: float
    segment_bytes: int
    segment_age_seconds: float
    retention_bytes: int | None
    retention_age_seconds: float | None
    recompress_level: int | None
    """To which closed segments are recompressed while the machine is idle; None: they are not."""
    queue_bytes: int


class LimitsSpec(_Message, frozen=True):
    """The bounds a worker holds all its senders to."""

    depth: int
    keys: int
    connections: int
    """Open at once, over all workers."""
    partial_bytes: int
    """For the incomplete frames of all connections of the worker."""


class StageSpec(_Message, frozen=True):
    """One stage of the pipeline, checked and with its defaults filled in."""

    index: int
    """Of the shared region; in a configuration, its place in the pipeline."""
    name: str
    """As configured; the `stage` label of its metrics."""
    kind: StageKind
    kernel: str | None
    """The kernel in native/src/pipeline/config.rs that does it, or None: Python."""
    plugin: str
    """For Python: a name that fapilog's loader knows, or `module:Class`."""
    config: dict[str, Any]
    """What the kernel or the plugin is told."""
    fail: FailurePolicy
    """What becomes of an event at which a Python plugin fails."""
    budget_seconds: float
    """The longest a Python plugin may take for one event."""
    breaker_failures: int
    """A Python plugin that fails this often in a row is left out ..."""
    breaker_seconds: float
    """... for this long."""


class KernelSpec(_Message, frozen=True):
    """A native kernel with what it is told."""

    index: int
    """Of its stage."""
    kernel: str
    config: dict[str, Any]


class PipelineSpec(_Message, frozen=True):
    """What happens to an event between decode and journal, in the order in which it happens."""

    stages: tuple[StageSpec, ...]
    output: OutputForm
    redactor_kernels: tuple[KernelSpec, ...]
    """Of built-in redactors that Python runs; dead letters are redacted natively all the same."""
    has_foreign_redactors: bool
    """Whether there are others, whose rules only they know."""


class LogSpec(_Message, frozen=True):
    """How a role logs; the format is already decided."""

    level: LogLevel
    format: LogFormat


class WorkerSpec(_Message, frozen=True):
    """All that a worker has to know."""

    index: int
    generation: int
    region: int
    sources: int
    """The table of sending addresses, shared memory like the region."""
    arena: int
    """The memory of the slot, which outlives its worker."""
    lifeline: int
    inbox: int
    """Where connections come from other workers, and from a predecessor."""
    outboxes: tuple[int, ...]
    """Where they are sent, by slot; its own slot, for a successor, among them."""
    data_dir: str
    listeners: tuple[ListenerSpec, ...]
    journal: JournalSpec
    limits: LimitsSpec
    pipeline: PipelineSpec
    heartbeat_seconds: float
    drain_seconds: float
    go: int | None
    """The reading end of a pipe: a successor waits there for a byte, with everything prepared,
    until the worker before it is gone. None: the place is free."""
    log: LogSpec


class AdminSpec(_Message, frozen=True):
    """All that the admin role has to know; `descriptor` is its listening socket."""

    descriptor: int
    region: int
    lifeline: int
    log: LogSpec


class ListenerDescription(_Message, frozen=True):
    """A listener as others see it."""

    name: str
    kind: ListenerKind
    address: str
    bound: bool
    """Whether senders can connect; others were removed, and what they counted is kept."""


class ReloadDescription(_Message, frozen=True):
    """How reading the configuration again ended."""

    result: ReloadResult
    message: str
    """What was done, or why not; one line for people."""
    finished_at: str


class PreviousServer(_Message, frozen=True):
    """A server that did not stop in order, as the next one on its data directory found it."""

    started_at: str | None
    received: int | None
    """Events, by all its listeners in all its time; None: not known, as is what was lost."""
    lost: int | None
    """Those of them that never became durable."""
    reason: str | None
    """Why it is not known."""


class ServerDescription(_Message, frozen=True):
    """The text that the shared region carries, so that a reader needs nothing but the region."""

    version: str
    data_dir: str
    workers: int
    listeners: tuple[ListenerDescription, ...]
    """By their index in the region."""
    admin: str | None
    heartbeat_timeout_seconds: float
    last_reload: ReloadDescription | None
    previous_server: PreviousServer | None
    """None: it stopped in order, or there was none."""


class RegionNote(_Message, frozen=True):
    """Where the counters of a server are, written before it receives anything.

    It is removed when the server stops in order, so whoever finds it knows that it did not.
    """

    file: str | None
    """The name in the shared memory of the machine; None: they were lost with its processes."""
    boot_id: str
    """Of the run of the machine, which that memory does not outlive."""
    directory_inode: int
    """Of the data directory that the note was written for. A copy has another."""
    started_at: str


class RunningServer(_Message, frozen=True):
    """The content of `server.json`: where to find the region of a running server."""

    pid: int
    region_descriptor: int
    started_at: str
    version: str
    admin: str | None
    listeners: tuple[ListenerDescription, ...]


MessageType = TypeVar("MessageType", bound=_Message)


def encode(message: _Message) -> bytes:
    """Return the message as one line of JSON."""
    return msgspec.json.encode(message)


def decode(text: bytes | str, kind: type[MessageType]) -> MessageType:
    """Read a message of the given kind; raise ValueError (msgspec's own) where it is none."""
    return msgspec.json.decode(text, type=kind)


def server_file(data_dir: Path) -> Path:
    """Return where the running server of a data directory describes itself."""
    return data_dir / SERVER_FILE
