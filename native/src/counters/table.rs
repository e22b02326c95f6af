//! The metric table. The Prometheus collector, `status` and the metrics reference are
//! generated from it.

use super::schema::{Kind, Metric, Scope};
use crate::reject::Reject;

const fn metric(
    name: &'static str,
    kind: Kind,
    scope: Scope,
    label: &'static str,
    values: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, scope, unit: "", scale: 1, label, values, public: true, help }
}

const fn counter(scope: Scope, name: &'static str, help: &'static str) -> Metric {
    metric(name, Kind::Counter, scope, "", &[], help)
}

const fn gauge(scope: Scope, name: &'static str, help: &'static str) -> Metric {
    metric(name, Kind::Gauge, scope, "", &[], help)
}

const fn labelled(
    scope: Scope,
    name: &'static str,
    label: &'static str,
    values: &'static [&'static str],
    help: &'static str,
) -> Metric {
    metric(name, Kind::Counter, scope, label, values, help)
}

const fn private(scope: Scope, name: &'static str, help: &'static str) -> Metric {
    let mut row = gauge(scope, name, help);
    row.public = false;
    row
}

const fn private_pair(scope: Scope, name: &'static str, help: &'static str) -> Metric {
    let mut row = metric(name, Kind::Gauge, scope, "journal", JOURNALS, help);
    row.public = false;
    row
}

const fn bytes(mut row: Metric) -> Metric {
    row.unit = "bytes";
    row
}

/// The two journals of a shard.
const JOURNALS: &[&str] = &["events", "dead"];
/// Why events that were received never became durable.
pub const LOST_REASONS: &[&str] = &["worker_died", "drain_deadline"];
/// Why events were discarded by policy: a plugin whose stage is fail-closed did not do its work, or
/// a datagram came from an address that may not send, or sends too much.
pub const DROP_REASONS: &[&str] = &[
    "stage_error",
    "stage_timeout",
    "stage_breaker_open",
    "denied",
    "rate_limited",
    "unacknowledged",
];
/// So many of them, the first, are what becomes of events at which a plugin failed.
pub const PLUGIN_DROP_REASONS: usize = 3;
/// Why a connection was closed before anything was read from it.
pub const REFUSALS: &[&str] =
    &["denied", "proxy_header", "opening_timeout", "source_connections", "listener_connections"];
/// Why a connection was closed for what its sender did, or did not do.
pub const EXPIRIES: &[&str] = &["idle", "frame", "memory"];
/// Why nobody was accepted for a while.
pub const ACCEPT_PAUSES: &[&str] = &["connections", "descriptors"];
/// What a sender may send too much of: by its address, or for the worker that serves it.
pub const SOURCE_LIMITS: &[&str] = &["events", "bytes", "dead_letters"];
/// Why TLS handshakes came to nothing.
pub const HANDSHAKE_FAILURES: &[&str] = &[
    "plain_text",
    "no_certificate",
    "expired_certificate",
    "bad_certificate",
    "refused_by_client",
    "protocol",
    "timeout",
    "closed",
];
/// Why a connection went to another worker: that one had fewer when it was accepted, or less to do
/// later; it has so much to say that the workers take turns; its worker was replaced.
pub const MOVE_CAUSES: &[&str] = &["accept", "balance", "rotation", "replacement"];
const EDITS: &[&str] = &["control_field_removed", "group_wrapped", "envelope_unwrapped"];
/// Upper bounds in seconds; `+Inf` and `sum` close a histogram.
const SYNC_BOUNDS: &[&str] = &[
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "10",
    "+Inf", "sum",
];

/// How reading the configuration again ended.
const RELOAD_RESULTS: &[&str] = &["applied", "unchanged", "refused", "failed"];

use Scope::{Listener, Server, Stage, Worker};

/// Every metric and protocol cell.
pub const METRICS: &[Metric] = &[
    private(Worker, "ingest_worker_state", "0 gone, 1 starting, 2 ready, 3 draining."),
    private(Worker, "ingest_worker_heartbeat_ns", "CLOCK_MONOTONIC of the last loop timer."),
    private(
        Worker,
        "ingest_worker_configuration",
        "Number of the configuration it was started with; others may know other listeners.",
    ),
    private(Worker, "ingest_worker_standby", "Generation of the successor that waits to go on."),
    private_pair(Worker, "ingest_journal_checkpoint", "(Next durable sequence + 1) * 2 + row."),
    private_pair(Worker, "ingest_journal_stall", "0 none, 1 no space, 2 disk error."),
    gauge(Worker, "ingest_worker_pid", "Process id of the worker, 0 while there is none."),
    gauge(
        Worker,
        "ingest_worker_holder_pid",
        "Process id of the holder that keeps the connections of the worker when it is killed, 0 \
         while there is none.",
    ),
    gauge(Worker, "ingest_worker_generation", "How many processes this slot has had."),
    counter(
        Worker,
        "ingest_worker_restarts_total",
        "Times a worker was started for one that died.",
    ),
    counter(
        Worker,
        "ingest_worker_replacements_total",
        "Times a worker handed its work over to a successor that stood ready.",
    ),
    gauge(Worker, "ingest_worker_breaker_open", "1 while respawning is held back, else 0."),
    gauge(Worker, "ingest_connections", "Connections open now."),
    private(Worker, "ingest_inbox_connections", "Connections on their way to the worker."),
    private(
        Worker,
        "ingest_worker_load",
        "Bytes per second, and 256 for each event, of the senders that stay with the worker.",
    ),
    Metric {
        scale: 1_000_000,
        ..gauge(
            Worker,
            "ingest_worker_busy_ratio",
            "Processor time that the worker lately took, as a share of one core.",
        )
    },
    labelled(
        Worker,
        "ingest_connections_moved_total",
        "cause",
        MOVE_CAUSES,
        "Connections that the worker passed on to another, or to its successor.",
    ),
    counter(
        Worker,
        "ingest_connections_adopted_total",
        "Connections that the worker took over from another, or from its predecessor.",
    ),
    counter(
        Worker,
        "ingest_connections_cut_total",
        "Connections that were closed because their worker was replaced or killed and they could not \
         go on without it.",
    ),
    counter(
        Worker,
        "ingest_adoption_errors_total",
        "Connections that were passed on to the worker and that it had to close.",
    ),
    gauge(
        Worker,
        "ingest_intake_paused",
        "Why reading is stopped: 0 it is not, 1 the journal queue is full, 2 no space left, \
         3 disk error, 4 no more than the reserve is free.",
    ),
    counter(Worker, "ingest_intake_pauses_total", "Times reading stopped for the journal."),
    counter(Worker, "ingest_accept_errors_total", "accept() calls that failed."),
    labelled(
        Worker,
        "ingest_accept_pauses_total",
        "reason",
        ACCEPT_PAUSES,
        "Times that who wants to connect was left waiting: too many connections are open, or no \
         file descriptors are left.",
    ),
    bytes(gauge(Worker, "ingest_partial_bytes", "Bytes held of frames that are incomplete.")),
    counter(
        Worker,
        "ingest_source_overflows_total",
        "Times that the table of sending addresses had no room for one, which then shares its \
         limits with others.",
    ),
    bytes(gauge(Worker, "ingest_arena_bytes", "Bytes read that are not yet durable.")),
    labelled(
        Worker,
        "ingest_edits_total",
        "edit",
        EDITS,
        "Changes made while bringing events to their canonical form.",
    ),
    metric(
        "ingest_journal_durable_sequence",
        Kind::Gauge,
        Worker,
        "journal",
        JOURNALS,
        "Every event below this sequence number of the shard is on stable storage.",
    ),
    bytes(labelled(
        Worker,
        "ingest_journal_written_bytes_total",
        "journal",
        JOURNALS,
        "Bytes made durable, metadata included.",
    )),
    labelled(Worker, "ingest_journal_batches_total", "journal", JOURNALS, "Batches made durable."),
    labelled(
        Worker,
        "ingest_journal_compressed_batches_total",
        "journal",
        JOURNALS,
        "Batches made durable that are stored compressed.",
    ),
    labelled(Worker, "ingest_journal_segments_total", "journal", JOURNALS, "Segments begun."),
    labelled(
        Worker,
        "ingest_journal_stalls_total",
        "journal",
        JOURNALS,
        "Times that writing to the disk failed and was held back until it worked.",
    ),
    labelled(
        Worker,
        "ingest_journal_seals_total",
        "journal",
        JOURNALS,
        "Closed segments sealed into the chain.",
    ),
    labelled(
        Worker,
        "ingest_journal_recompressions_total",
        "journal",
        JOURNALS,
        "Sealed segments replaced by smaller ones with the same content.",
    ),
    bytes(labelled(
        Worker,
        "ingest_journal_recompression_read_bytes_total",
        "journal",
        JOURNALS,
        "Bytes that recompressed segments had before.",
    )),
    bytes(labelled(
        Worker,
        "ingest_journal_recompression_written_bytes_total",
        "journal",
        JOURNALS,
        "Bytes that recompressed segments have since.",
    )),
    labelled(
        Worker,
        "ingest_journal_upkeep_errors_total",
        "journal",
        JOURNALS,
        "Attempts to seal or recompress a segment that failed. Sealing is tried again.",
    ),
    Metric {
        name: "ingest_journal_sync_seconds",
        kind: Kind::Histogram,
        scope: Worker,
        unit: "seconds",
        scale: 1_000_000_000,
        label: "le",
        values: SYNC_BOUNDS,
        public: true,
        help: "Duration of the group commits of the event journal.",
    },
    private(Listener, "ingest_listener_served", "1: the worker takes its connections over."),
    private(Listener, "ingest_events_decoding", "Events of the read in work."),
    private(Listener, "ingest_events_accepted", "Events handed to a journal, durable or not."),
    private_pair(Listener, "ingest_checkpoint_even", "Durable events, row 0 of the checkpoint."),
    private_pair(Listener, "ingest_checkpoint_odd", "Durable events, row 1 of the checkpoint."),
    counter(Listener, "ingest_events_received_total", "Complete frames read."),
    counter(Listener, "ingest_events_journaled_total", "Events durable in the journal."),
    counter(Listener, "ingest_events_filtered_total", "Events dropped on purpose by a filter."),
    counter(
        Listener,
        "ingest_events_dead_lettered_total",
        "Lines durable in the dead-letter journal.",
    ),
    labelled(
        Listener,
        "ingest_events_dropped_total",
        "reason",
        DROP_REASONS,
        "Events discarded by policy: a plugin failed that lets nothing through then, a datagram \
         came from an address that may not send or sends too much, or a worker died before it \
         could acknowledge their request, so that they are sent again.",
    ),
    labelled(
        Listener,
        "ingest_events_lost_total",
        "reason",
        LOST_REASONS,
        "Events that were received and never became durable.",
    ),
    labelled(
        Listener,
        "ingest_events_rejected_total",
        "reason",
        &Reject::NAMES,
        "Lines that are no event and were handed to the dead-letter journal.",
    ),
    bytes(counter(Listener, "ingest_received_bytes_total", "Bytes read from sockets.")),
    counter(Listener, "ingest_reads_total", "System calls that read data."),
    gauge(Listener, "ingest_listener_connections", "Connections of the listener open now."),
    counter(Listener, "ingest_connections_opened_total", "Connections taken in."),
    counter(Listener, "ingest_connections_closed_total", "Connections closed."),
    labelled(
        Listener,
        "ingest_connections_refused_total",
        "reason",
        REFUSALS,
        "Connections closed before anything was read from them: the address may not send, the \
         PROXY header or the handshake was wrong or late, or there are too many.",
    ),
    labelled(
        Listener,
        "ingest_connections_expired_total",
        "reason",
        EXPIRIES,
        "Connections closed because they were silent, left a frame incomplete for too long, or \
         held the most when incomplete frames took too much memory.",
    ),
    labelled(
        Listener,
        "ingest_source_pauses_total",
        "limit",
        SOURCE_LIMITS,
        "Times that a connection was not read for a while because its address had sent too much, or \
         itself little but what became dead letters.",
    ),
    counter(Listener, "ingest_tls_handshakes_total", "TLS handshakes that succeeded."),
    labelled(
        Listener,
        "ingest_tls_handshakes_failed_total",
        "reason",
        HANDSHAKE_FAILURES,
        "TLS handshakes that did not.",
    ),
    counter(
        Listener,
        "ingest_tls_errors_total",
        "TLS connections closed because a record after the handshake broke the rules.",
    ),
    counter(
        Listener,
        "ingest_tls_reloads_total",
        "Times that changed certificate files were taken for new connections.",
    ),
    counter(
        Listener,
        "ingest_tls_reload_errors_total",
        "Times that changed certificate files could not be used, and the former stayed in use.",
    ),
    counter(
        Listener,
        "ingest_datagrams_received_total",
        "Datagrams read, each counted also where the kernel hands over several at once.",
    ),
    bytes(gauge(
        Listener,
        "ingest_udp_receive_buffer_bytes",
        "What the kernel grants a UDP socket of `limits.udp_receive_buffer_bytes`.",
    )),
    counter(
        Listener,
        "ingest_kernel_dropped_total",
        "UDP datagrams the kernel dropped before they could be read.",
    ),
    private(Listener, "ingest_kernel_drops_base", "What sockets before this one have dropped."),
    counter(Stage, "ingest_stage_filtered_total", "Events that the stage dropped on purpose."),
    counter(
        Stage,
        "ingest_stage_changed_total",
        "Values that the stage masked, stripped or shortened, and events that it marked or cut.",
    ),
    counter(Stage, "ingest_stage_events_total", "Events that a Python plugin was given."),
    Metric {
        name: "ingest_stage_seconds_total",
        kind: Kind::Counter,
        scope: Stage,
        unit: "seconds",
        scale: 1_000_000_000,
        label: "",
        values: &[],
        public: true,
        help: "Time spent in a Python plugin.",
    },
    counter(
        Stage,
        "ingest_stage_errors_total",
        "Events for which a Python plugin raised or returned what it must not.",
    ),
    counter(
        Stage,
        "ingest_stage_timeouts_total",
        "Events for which a Python plugin took longer than its budget.",
    ),
    counter(
        Stage,
        "ingest_stage_skipped_total",
        "Events that a Python plugin was not given because its breaker was open.",
    ),
    Metric {
        scale: 1_000_000,
        ..gauge(
            Stage,
            "ingest_stage_sample_rate",
            "Share of events that a sampling filter lets through.",
        )
    },
    gauge(Stage, "ingest_stage_keys", "Keys that a filter remembers."),
    gauge(Stage, "ingest_stage_breaker_open", "1 while a Python plugin is left out, else 0."),
    bytes(gauge(
        Server,
        "ingest_disk_free_bytes",
        "What is free on the file system of the data directory; of several, where it is tightest.",
    )),
    bytes(gauge(
        Server,
        "ingest_disk_low_water_bytes",
        "With less than this free there, people are warned.",
    )),
    bytes(gauge(
        Server,
        "ingest_disk_reserve_bytes",
        "With less than this free there, nothing is read from senders.",
    )),
    gauge(
        Server,
        "ingest_disk_pressure",
        "0 enough is free, 1 less than the low water, 2 less than the reserve.",
    ),
    gauge(
        Server,
        "ingest_previous_server_lost_events",
        "Events that the server before this one received and that never became durable, where it \
         did not stop in order.",
    ),
    gauge(
        Server,
        "ingest_previous_server_loss_unknown",
        "1 where the server before this one did not stop in order and its counters are gone, else 0.",
    ),
    private(Server, "ingest_reload_requests", "SIGHUPs the supervisor has noticed."),
    private(Server, "ingest_reload_answered", "The last of them that was answered."),
    labelled(
        Server,
        "ingest_reloads_total",
        "result",
        RELOAD_RESULTS,
        "Times the configuration was read again: it is in force, it was in force already, it was \
         refused, or workers did not start with it and the one before is in force again.",
    ),
    gauge(Server, "ingest_reload_running", "1 while workers are replaced one by one, else 0."),
    gauge(
        Server,
        "ingest_last_reload_successful",
        "1 if what the configuration said when it was last read is in force, else 0.",
    ),
    Metric {
        unit: "seconds",
        scale: 1_000_000_000,
        ..gauge(
            Server,
            "ingest_last_reload_timestamp_seconds",
            "When the last reading of the configuration was done with, since the epoch.",
        )
    },
];
