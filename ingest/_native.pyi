"""The Rust core. What crosses here crosses once per batch, never once per event."""

from collections.abc import Callable, Sequence
from typing import Literal, final

__all__ = [
    "METRICS",
    "Arena",
    "Audit",
    "Batch",
    "DeadLetters",
    "Found",
    "Handoff",
    "Holder",
    "JournalReader",
    "Ledger",
    "Metric",
    "Region",
    "Repair",
    "Segment",
    "SegmentReport",
    "Shard",
    "Sources",
    "__version__",
    "audit_directory",
    "check_tls",
    "recover_worker",
    "repair_directory",
    "verify_directory",
]

__version__: str

METRICS: tuple[Metric, ...]
"""Every metric and protocol cell, in the order of `Region.samples()`."""

@final
class Metric:
    """One row of the metric table."""

    @property
    def name(self) -> str:
        """Name as exposed, `ingest_<what>_<unit or total>`."""
    @property
    def kind(self) -> Literal["counter", "gauge", "histogram"]:
        """Behaviour over time. The cells of a histogram count per bound; `sum` closes them."""
    @property
    def scope(self) -> Literal["server", "worker", "listener", "stage"]:
        """Kept once, per worker, per worker and listener, or per worker and stage."""
    @property
    def unit(self) -> str:
        """`seconds`, `bytes` or nothing."""
    @property
    def scale(self) -> int:
        """Cells hold integers; the exposed value is the cell divided by this."""
    @property
    def label(self) -> str | None:
        """Name of the label that tells the cells of the row apart."""
    @property
    def label_values(self) -> list[str]:
        """A cell for each; empty when there is no label."""
    @property
    def public(self) -> bool:
        """Whether it is exported; the others are the protocol between the roles."""
    @property
    def help(self) -> str:
        """One sentence for people."""

@final
class Ledger:
    """The sum of one worker and listener at one moment; events, all of them counts.

    `received = journaled + filtered + dead_lettered + dropped + lost + in_flight`
    """

    @property
    def received(self) -> int:
        """Complete frames read."""
    @property
    def journaled(self) -> int:
        """Durable in the journal."""
    @property
    def filtered(self) -> int:
        """Dropped on purpose by a filter."""
    @property
    def dead_lettered(self) -> int:
        """Durable in the dead-letter journal."""
    @property
    def dropped(self) -> dict[str, int]:
        """Discarded by the policy of a plugin that failed, by reason."""
    @property
    def lost(self) -> dict[str, int]:
        """Received and never durable, by reason."""
    @property
    def in_flight(self) -> int:
        """In the pipeline, or in a journal and not yet durable."""
    @property
    def kernel_dropped(self) -> int:
        """UDP datagrams the kernel dropped before they could be read; beside the sum."""
    @property
    def closed(self) -> bool:
        """Whether the sum holds."""

@final
class Region:
    """The shared memory of a running server: one slot of cells per worker index.

    Cells are unsigned 64-bit integers with one writer each; reading takes no lock. Names are seen
    as of the last `refresh`.
    """

    @staticmethod
    def create(
        workers: int,
        listeners: Sequence[str],
        stages: Sequence[str],
        descriptor: bytes,
        *,
        file: int | None = None,
    ) -> Region:
        """Make a region with every cell at zero; `descriptor` is kept for readers, unchanged.

        There is room for 16 more listeners and 32 more stages. `file` is the descriptor of an empty
        file to make it in, which is duplicated and has all its space at once; without it the memory
        has no name and ends with the last process that has it.

        Raises ValueError for impossible sizes and OSError when the memory cannot be had.
        """
    @staticmethod
    def attach(fileno: int) -> Region:
        """Map the region behind a file descriptor, which is duplicated.

        Raises ValueError when another version of the program made it, OSError when it is no region.
        """
    def publish(self, listeners: Sequence[str], stages: Sequence[str], descriptor: bytes) -> None:
        """Let readers find these names and this text; only the process that made the region may.

        Names may be added behind those there are. Raises ValueError, and changes nothing, where
        others are missing or there is no room.
        """
    def refresh(self) -> None:
        """Take notice of what was published. Raises ValueError where the region is damaged."""
    def fileno(self) -> int:
        """Return the descriptor to hand to a child process."""
    @property
    def workers(self) -> int:
        """How many worker slots there are."""
    @property
    def listeners(self) -> list[str]:
        """Names of the listeners, by index, also of those that are no more."""
    @property
    def stages(self) -> list[str]:
        """Names of the stages, by index, also of those that are no more in the pipeline."""
    @property
    def descriptor(self) -> bytes:
        """The text given to `create` or `publish`."""
    @property
    def boot_time_ns(self) -> int:
        """When the region was made, nanoseconds since the epoch."""
    def get(
        self,
        worker: int | None,
        metric: str,
        *,
        listener: int | None = None,
        stage: int | None = None,
        label: str | None = None,
    ) -> int:
        """Read one cell; the worker is None for those of the whole server.

        Raises KeyError for a name or index that does not exist.
        """
    def set(
        self,
        worker: int | None,
        metric: str,
        value: int,
        *,
        listener: int | None = None,
        stage: int | None = None,
        label: str | None = None,
    ) -> None:
        """Write one cell; only its one writer may. Raises KeyError like `get`."""
    def add(
        self,
        worker: int | None,
        metric: str,
        value: int = 1,
        *,
        listener: int | None = None,
        stage: int | None = None,
        label: str | None = None,
    ) -> None:
        """Increase one cell; only its one writer may. Raises KeyError like `get`."""
    def ledger(self, worker: int, listener: int) -> Ledger:
        """Read the sum of one worker and listener. Raises KeyError when there is no such pair."""
    def samples(self) -> list[tuple[int, int | None, int | None, str | None, int]]:
        """Read every public cell.

        Each is (index into METRICS, worker, index of the listener or stage, label value, cell); the
        worker is None for those of the whole server.
        """

@final
class Sources:
    """The table of sending addresses: what each may still send, and its open connections.

    Shared memory of all workers; how it is laid out stands in native/src/counters/sources.rs.
    """

    @staticmethod
    def create(workers: int) -> Sources:
        """Make a table without senders.

        Raises ValueError for an impossible number and OSError when the memory cannot be had.
        """
    @staticmethod
    def attach(fileno: int) -> Sources:
        """Map the table behind a file descriptor, which is duplicated.

        Raises ValueError when another version of the program made it, OSError when it is no table.
        """
    def fileno(self) -> int:
        """Return the descriptor to hand to a child process."""
    def clear(self, worker: int) -> None:
        """Forget the connections of a worker that is gone. Raises KeyError if there is none."""

@final
class Arena:
    """The memory of one worker slot: what was read and is not stored yet, and its connections.

    It outlives its worker; how it is laid out stands in native/src/receive/arena.
    """

    @staticmethod
    def create(capacity_bytes: int) -> Arena:
        """Make one with so much room for what was read. It is not mapped: workers attach it.

        Raises ValueError for an impossible size and OSError when the memory cannot be had.
        """
    @staticmethod
    def attach(fileno: int) -> Arena:
        """Map the arena behind a file descriptor, which is duplicated.

        Raises ValueError when another version of the program made it, OSError when it is none.
        """
    def fileno(self) -> int:
        """Return the descriptor to hand to a child process."""

@final
class Holder:
    """A process that shares the descriptors of this one and keeps its connections when it dies.

    How it works stands in native/src/receive/holder/mod.rs.
    """

    @staticmethod
    def start() -> Holder:
        """Start the holder of this process, which has no other thread yet.

        It keeps a copy of what the memory is now. Raises OSError where the machine forbids it.
        """
    @property
    def pid(self) -> int:
        """The id of the process."""
    def send(
        self, *, lifeline: int, outbox: int, arena: int, listeners: Sequence[tuple[int, int]]
    ) -> None:
        """Tell the holder what to do when this process is gone; until then it would do nothing.

        The descriptors stay those of this process; those of listeners stand behind their index in
        the region. Raises ValueError when it is told twice.
        """

@final
class Found:
    """What opening the journals of a shard found."""

    @property
    def events_sequence(self) -> int:
        """Sequence number of the next event."""
    @property
    def dead_sequence(self) -> int:
        """Sequence number of the next dead letter."""
    @property
    def lost(self) -> int:
        """Events that a predecessor had received and that never became durable."""
    @property
    def notes(self) -> list[str]:
        """A line for each thing that an operator should know, such as a torn tail that was cut."""

@final
class Shard:
    """The sockets and the two journals of one worker: receive, frame, run the pipeline, store.

    Belongs to one thread, that of the worker's loop. A writer thread of its own, without the GIL,
    makes events durable.
    """

    def __new__(
        cls,
        region: Region,
        sources: Sources,
        arena: Arena,
        worker: int,
        data_dir: str,
        listeners: Sequence[str],
        *,
        inbox: int,
        outboxes: Sequence[int],
        compression: Literal["auto", "none", "zstd"],
        compression_level: int,
        sync_interval_seconds: float,
        segment_bytes: int,
        segment_age_seconds: float,
        retention_bytes: int | None,
        retention_age_seconds: float | None,
        recompress_level: int | None,
        queue_bytes: int,
        depth: int,
        keys: int,
        connections: int,
        partial_bytes: int,
        segments: Sequence[str],
        redactors: str,
        has_foreign_redactors: bool,
        full_match: Callable[[int, str], bool] | None,
    ) -> Shard:
        """Recover the journals, settle a predecessor's counters and take over the sockets.

        `listeners` are `ListenerSpec`s as JSON. `inbox` is where connections come from other
        workers, `outboxes` are, by worker, where they are sent. The shard closes all these
        descriptors.
        `compression_level` is the Zstandard level for the compression `zstd`.
        `segments` are the native segments of the pipeline as JSON (`Segment` in
        native/src/pipeline/config.rs), between each two of which is one in Python; `redactors` is
        a segment of all native redactors, for the dead letters, and `has_foreign_redactors` says
        that there are others. `full_match(stage, path)` decides patterns that are Python's. Raises
        OSError when a journal cannot be opened, ValueError for what cannot be meant.
        """
    @property
    def found(self) -> Found:
        """What the journals held."""
    def fileno(self) -> int:
        """Return a descriptor that is readable while there is something to `drain`."""
    def progress_filenos(self) -> tuple[int, int]:
        """Return descriptors that become readable when the journals have made progress."""
    def listen(self) -> None:
        """Begin to accept connections and to read datagrams. Raises OSError."""
    def drain(self) -> bool:
        """Read, decode and hand on what is ready, at most some MiB.

        Returns False when the journals have no room: wait for `progress_filenos`, then `resume`.
        """
    def take_handoff(self) -> Handoff | None:
        """Return events that wait for Python, if there are any: look after `drain` and `accept`.

        Nothing can be drained before they have come back with `accept`.
        """
    def accept(self, handoff: Handoff, lines: bytes, verdicts: bytes, stages: bytes) -> None:
        r"""Take back what Python made of a batch.

        `verdicts` has a byte for each event: 0 keep, 1 filtered, 2 dead letter, 3 to 5 dropped for
        an error, a timeout, an open breaker. `lines` has a line, ended by `\n`, for each that is 0
        or 2. `stages` has a byte for each event: the stage that decided. Raises ValueError where
        they do not fit the batch.
        """
    def resume(self) -> bool:
        """Return whether there is room again after `drain` returned False."""
    def submit(
        self, listener: int, body: bytes, peer: str | None = None, identity: str | None = None
    ) -> int | None:
        """Take the body of a request that a source of its own has received, whole or not at all.

        It goes the way of what is read from sockets, under the name of a listener (its index).
        `body` is whole frames: lines, or counted by their octets; what follows the last terminator
        is one too. `peer` is the sender's address with its port, `identity` members of a JSON
        object that tell more of it. Returns the position that `durable_position` has to reach
        before the request may be acknowledged, or None where the journals or the arena have no
        room, Python has a batch in its hands, or what a predecessor left comes first: try again
        when that has changed. Look for `take_handoff` afterwards. Raises ValueError for a listener
        that is not served.
        """
    def durable_position(self) -> int:
        """Return the position below which everything taken is durable; it only grows."""
    def acknowledge_progress(self) -> None:
        """Make `progress_filenos` unreadable until there is more progress."""
    def sync_now(self) -> None:
        """Have everything taken so far synced at once, but for what Python has in its hands."""
    def tick(self) -> None:
        """Write the heartbeat and the gauges; call it from a timer of the loop."""
    def take_notices(self) -> list[tuple[str, str, str | None, str, int]]:
        """Return whom to tell people about: listener, cause, peer, words, and how many others."""
    def stall_text(self) -> str | None:
        """Return the operating system's words for what holds a journal back, if anything does."""
    def take_upkeep_error(self) -> str | None:
        """Return why a closed segment could not be sealed or recompressed since the last call."""
    def finish(
        self,
        patience_seconds: float,
        process: Callable[[Handoff], tuple[bytes, bytes, bytes] | None] | None = None,
    ) -> int:
        """Read what the kernel already holds, make everything durable and close.

        `process` works on batches meanwhile, and returns what `accept` takes, or None where it
        cannot. Blocks for at most about `patience_seconds`, and as long as `process` does. Returns
        how many events could not be made durable; they are counted as lost. The shard cannot be
        used afterwards. What `process` raises is raised when all is closed.
        """
    def hand_over(
        self,
        patience_seconds: float,
        process: Callable[[Handoff], tuple[bytes, bytes, bytes] | None] | None = None,
    ) -> int:
        """Pass the connections on to the shard's successor, make what was read durable and close.

        They wait in the inbox, what the kernel holds in the sockets. Otherwise like `finish`.
        """

def check_tls(certificate: str, key: str, client_ca: str | None = None) -> None:
    """Check that a TLS listener could be opened with these PEM files.

    They are the server's certificate with its chain, its private key, and the certificates that
    those of clients are signed with. Raises ValueError naming the file and what is wrong with it.
    """

def recover_worker(region: Region, worker: int, data_dir: str) -> Found:
    """Settle the counters of a worker that is gone: what is stored is journaled, the rest lost.

    Cuts torn tails of its journals. Raises OSError when a journal cannot be read.
    """

@final
class Handoff:
    """A batch of events for one Python segment."""

    @property
    def segment(self) -> int:
        """The segment's number among the Python segments."""
    @property
    def lines(self) -> bytes:
        r"""The events, canonical, one per line, each ended by `\n`."""
    @property
    def runs(self) -> list[tuple[int, str, str | None, str | None, int]]:
        """Where they come from.

        Number of events, listener, peer, identity (members of a JSON object), nanoseconds since
        the epoch.
        """

@final
class Segment:
    """A native segment of the pipeline on its own, to try it out: `check` and tests."""

    def __new__(
        cls,
        config: str,
        *,
        depth: int,
        keys: int,
        full_match: Callable[[int, str], bool] | None = None,
    ) -> Segment:
        """Compile a segment, given as for `Shard`. Raises ValueError for what cannot be done."""
    def run(
        self,
        lines: Sequence[bytes],
        *,
        listener: str = "test",
        shard: int = 0,
        received_ns: int | None = None,
        peer: str | None = None,
    ) -> list[tuple[str, bytes]]:
        """Return what becomes of each line: `kept` and its text, `filtered`, or a reject reason.

        Raises ValueError for a peer that is no `ADDRESS:PORT`.
        """

@final
class DeadLetters:
    """What the dead letters would hold of lines of one origin, to try it out: `check` and tests."""

    def __new__(
        cls,
        redactors: str,
        *,
        has_foreign_redactors: bool,
        listener: str,
        received_ns: int,
        peer: str | None = None,
        full_match: Callable[[int, str], bool] | None = None,
    ) -> DeadLetters:
        """Compile the redactors, given as for `Shard`.

        Raises ValueError for what cannot be done, and for a peer that is no `ADDRESS:PORT`.
        """
    def letter(
        self, line: bytes, reason: str, *, stage: str | None = None, length: int | None = None
    ) -> bytes:
        """Return the dead letter of a line, one line of JSON without its newline.

        `length` is that of the whole line in bytes where `line` is only its beginning. Raises
        ValueError for an unknown reason.
        """

@final
class Batch:
    """One batch of a journal, as it was stored."""

    @property
    def first_sequence(self) -> int:
        """Sequence number of the first event; the others follow without a gap."""
    @property
    def count(self) -> int:
        """How many events."""
    @property
    def missing(self) -> int:
        """Sequence numbers since the batch read before that are gone: deleted, or damaged."""
    @property
    def first_received_ns(self) -> int:
        """When the first event was received, nanoseconds since the epoch."""
    @property
    def last_received_ns(self) -> int:
        """When the last event was received, nanoseconds since the epoch."""
    @property
    def sources(self) -> list[tuple[str, int]]:
        """Listener name and number of events for each that has any in the batch."""
    @property
    def lines(self) -> bytes:
        r"""The events, one per line, each ended by `\n`."""

@final
class JournalReader:
    """Reads the batches of one shard, from anywhere, and goes on when more are written."""

    def __new__(
        cls,
        directory: str,
        *,
        start: Literal["oldest", "end"] | int = "oldest",
        last: int | None = None,
    ) -> JournalReader:
        """Begin at the oldest event, behind the newest, or at the batch with a sequence number.

        With `last`, begin so that at least that many events are ahead, or all there are. The
        directory need not exist yet. Raises OSError when it cannot be read.
        """
    def next(self) -> Batch | None:
        """Return the next batch, or None at the end of what is written so far.

        Raises RuntimeError once for a damaged part; the call after it goes on behind that.
        """

@final
class SegmentReport:
    """What `verify_directory` found in one segment."""

    @property
    def path(self) -> str:
        """The file."""
    @property
    def first_sequence(self) -> int:
        """The sequence number that the file's name says."""
    @property
    def next_sequence(self) -> int:
        """The sequence number behind the last batch."""
    @property
    def bytes(self) -> int:
        """Bytes of the file."""
    @property
    def batches(self) -> int:
        """Intact batches."""
    @property
    def events(self) -> int:
        """Events in them."""
    @property
    def findings(self) -> list[tuple[str, int, str]]:
        """What is wrong: kind, byte offset and words, in the order of the offsets.

        Kinds are `damage`, `gap`, `overlap`, and two that are no damage: `known_gap`, which a
        repair recorded as lost, and `torn_tail`, a batch that is being written, or that a dead
        writer left and the next one will cut off.
        """

def verify_directory(directory: str) -> list[SegmentReport]:
    """Check all checksums, counts and sequence numbers of a shard; change nothing.

    Raises OSError when the directory cannot be read.
    """

@final
class Audit:
    """What the chain of seals of a shard says about its segments."""

    @property
    def seals(self) -> int:
        """Seals in the chain."""
    @property
    def good(self) -> int:
        """Segments that are what they were when they were sealed."""
    @property
    def unsealed(self) -> int:
        """Segments that are not sealed yet, the one being written among them."""
    @property
    def deleted(self) -> int:
        """Sealed segments older than the oldest there is."""
    @property
    def repaired(self) -> list[str]:
        """Segments that are not what was sealed at first but what a repair left of them."""
    @property
    def head(self) -> str | None:
        """Digest of the newest seal, hexadecimal."""
    @property
    def known(self) -> list[str]:
        """Those of the digests asked for that are in the chain."""
    @property
    def findings(self) -> list[tuple[str, str]]:
        """What is wrong: the file, and words."""

def audit_directory(directory: str, digests: Sequence[str]) -> Audit:
    """Check the chain of a shard and every sealed segment against it; change nothing.

    `digests` are looked for among those of the seals. Raises OSError when the directory cannot be
    read.
    """

@final
class Repair:
    """What was done for a damaged segment, or would be."""

    @property
    def path(self) -> str:
        """The segment."""
    @property
    def damaged_path(self) -> str | None:
        """Where the damaged file is kept; None when nothing was changed."""
    @property
    def batches(self) -> int:
        """Intact batches, which stay."""
    @property
    def events(self) -> int:
        """Events in them."""
    @property
    def damaged_bytes(self) -> int:
        """Bytes that are no intact batch."""
    @property
    def missing(self) -> list[tuple[int, int]]:
        """Sequence numbers that are lost, each from the first to the one behind the last."""

def repair_directory(directory: str, *, dry_run: bool) -> list[Repair]:
    """Take what is damaged out of the segments of a shard, and keep the damaged files.

    With `dry_run`, only return what would be done. Raises OSError when a writer is at work there,
    BlockingIOError among them, or a file cannot be read or written.
    """
