//! What a row of the metric table says, and where its cells lie: their offsets follow from the
//! order of the table.

use super::table::METRICS;

/// How a value behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the server runs, also across the respawn of a worker.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts between bounds; the last two cells are `+Inf` and `sum`.
    Histogram,
}

/// What a cell is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One per worker.
    Worker,
    /// One per worker and listener.
    Listener,
    /// One per worker and stage of the pipeline.
    Stage,
    /// One for the whole server, written by the supervisor.
    Server,
}

impl Scope {
    /// The name users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Listener => "listener",
            Self::Stage => "stage",
            Self::Server => "server",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// Name as exposed, `ingest_<what>_<unit or total>`.
    pub name: &'static str,
    /// Behaviour over time.
    pub kind: Kind,
    /// What it is kept for.
    pub scope: Scope,
    /// `seconds`, `bytes` or nothing.
    pub unit: &'static str,
    /// Cells hold integers; the exposed value is the cell divided by this.
    pub scale: u64,
    /// Name of the label that tells the cells of this row apart, or nothing.
    pub label: &'static str,
    /// A cell for each value of the label; empty means one cell without a label.
    pub values: &'static [&'static str],
    /// Whether it is exported; the others are the protocol between the roles.
    pub public: bool,
    /// One sentence for people.
    pub help: &'static str,
}

impl Metric {
    /// How many cells the row has.
    pub const fn cells(&self) -> usize {
        if self.values.is_empty() { 1 } else { self.values.len() }
    }
}

/// The place of a row's first cell within the block of its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub(super) scope: Scope,
    pub(super) offset: usize,
}

/// The rows as places; a name that is not in the table does not compile.
pub mod cells {
    use super::{Cell, cell};

    macro_rules! cells {
        ($($constant:ident = $name:literal;)*) => {
            $(#[doc = concat!("`", $name, "`")] pub const $constant: Cell = cell($name);)*
        };
    }

    cells! {
        STATE = "ingest_worker_state";
        HEARTBEAT = "ingest_worker_heartbeat_ns";
        CONFIGURATION = "ingest_worker_configuration";
        CHECKPOINT = "ingest_journal_checkpoint";
        STALL = "ingest_journal_stall";
        CONNECTIONS = "ingest_connections";
        INBOX_CONNECTIONS = "ingest_inbox_connections";
        LOAD = "ingest_worker_load";
        LISTENER_SERVED = "ingest_listener_served";
        BUSY_RATIO = "ingest_worker_busy_ratio";
        CONNECTIONS_MOVED = "ingest_connections_moved_total";
        CONNECTIONS_ADOPTED = "ingest_connections_adopted_total";
        CONNECTIONS_CUT = "ingest_connections_cut_total";
        ADOPTION_ERRORS = "ingest_adoption_errors_total";
        INTAKE_PAUSED = "ingest_intake_paused";
        INTAKE_PAUSES = "ingest_intake_pauses_total";
        ACCEPT_PAUSES = "ingest_accept_pauses_total";
        PARTIAL = "ingest_partial_bytes";
        SOURCE_OVERFLOWS = "ingest_source_overflows_total";
        ACCEPT_ERRORS = "ingest_accept_errors_total";
        ARENA = "ingest_arena_bytes";
        EDITS = "ingest_edits_total";
        DURABLE_SEQUENCE = "ingest_journal_durable_sequence";
        WRITTEN_BYTES = "ingest_journal_written_bytes_total";
        BATCHES = "ingest_journal_batches_total";
        COMPRESSED_BATCHES = "ingest_journal_compressed_batches_total";
        SEGMENTS = "ingest_journal_segments_total";
        STALLS = "ingest_journal_stalls_total";
        SEALS = "ingest_journal_seals_total";
        RECOMPRESSIONS = "ingest_journal_recompressions_total";
        RECOMPRESSION_READ = "ingest_journal_recompression_read_bytes_total";
        RECOMPRESSION_WRITTEN = "ingest_journal_recompression_written_bytes_total";
        UPKEEP_ERRORS = "ingest_journal_upkeep_errors_total";
        SYNC_SECONDS = "ingest_journal_sync_seconds";
        DECODING = "ingest_events_decoding";
        ACCEPTED = "ingest_events_accepted";
        CHECKPOINT_EVEN = "ingest_checkpoint_even";
        CHECKPOINT_ODD = "ingest_checkpoint_odd";
        RECEIVED = "ingest_events_received_total";
        JOURNALED = "ingest_events_journaled_total";
        FILTERED = "ingest_events_filtered_total";
        DEAD_LETTERED = "ingest_events_dead_lettered_total";
        DROPPED = "ingest_events_dropped_total";
        LOST = "ingest_events_lost_total";
        REJECTED = "ingest_events_rejected_total";
        RECEIVED_BYTES = "ingest_received_bytes_total";
        READS = "ingest_reads_total";
        CONNECTIONS_OPENED = "ingest_connections_opened_total";
        CONNECTIONS_CLOSED = "ingest_connections_closed_total";
        LISTENER_CONNECTIONS = "ingest_listener_connections";
        CONNECTIONS_REFUSED = "ingest_connections_refused_total";
        CONNECTIONS_EXPIRED = "ingest_connections_expired_total";
        SOURCE_PAUSES = "ingest_source_pauses_total";
        TLS_HANDSHAKES = "ingest_tls_handshakes_total";
        TLS_HANDSHAKES_FAILED = "ingest_tls_handshakes_failed_total";
        TLS_ERRORS = "ingest_tls_errors_total";
        TLS_RELOADS = "ingest_tls_reloads_total";
        TLS_RELOAD_ERRORS = "ingest_tls_reload_errors_total";
        DATAGRAMS = "ingest_datagrams_received_total";
        UDP_RECEIVE_BUFFER = "ingest_udp_receive_buffer_bytes";
        KERNEL_DROPPED = "ingest_kernel_dropped_total";
        KERNEL_DROPS_BASE = "ingest_kernel_drops_base";
        STAGE_FILTERED = "ingest_stage_filtered_total";
        STAGE_CHANGED = "ingest_stage_changed_total";
        STAGE_SAMPLE_RATE = "ingest_stage_sample_rate";
        STAGE_KEYS = "ingest_stage_keys";
        DISK_PRESSURE = "ingest_disk_pressure";
    }

    /// The value of [`DISK_PRESSURE`] at which nothing is read.
    pub const DISK_PRESSURE_RESERVE: u64 = 2;
    /// The value of [`INTAKE_PAUSED`] for that.
    pub const INTAKE_PAUSED_RESERVE: u64 = 4;
    /// The value of [`STATE`] of a worker that takes part in the service.
    pub const STATE_READY: u64 = 2;
    /// Index of `worker_died` and `drain_deadline` within [`LOST`].
    pub const LOST_WORKER_DIED: usize = 0;
    /// See [`LOST_WORKER_DIED`].
    pub const LOST_DRAIN_DEADLINE: usize = 1;
    /// Index of `denied` and `rate_limited` within [`DROPPED`].
    pub const DROPPED_DENIED: usize = 3;
    /// See [`DROPPED_DENIED`].
    pub const DROPPED_RATE_LIMITED: usize = 4;
    /// Index of `unacknowledged` within [`DROPPED`].
    pub const DROPPED_UNACKNOWLEDGED: usize = 5;
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

const fn cell(name: &str) -> Cell {
    let mut widths = [0; 4];
    let mut at = 0;
    while at < METRICS.len() {
        let row = &METRICS[at];
        let width = &mut widths[row.scope as usize];
        if same(row.name, name) {
            return Cell { scope: row.scope, offset: *width };
        }
        *width += row.cells();
        at += 1;
    }
    unknown_metric()
}

/// Ends compilation: only reached while constants are evaluated.
#[allow(clippy::panic)]
const fn unknown_metric() -> ! {
    panic!("no such metric in the table")
}

/// Finds the place of a row by its name, and the row.
pub(super) fn find(name: &str) -> Option<(Cell, &'static Metric)> {
    METRICS.iter().find(|row| row.name == name).map(|row| (place(row), row))
}

/// The place of a row of [`METRICS`].
pub(super) fn place(wanted: &Metric) -> Cell {
    let before = METRICS
        .iter()
        .take_while(|row| row.name != wanted.name)
        .filter(|row| row.scope == wanted.scope)
        .map(Metric::cells);
    Cell { scope: wanted.scope, offset: before.sum() }
}

/// Cells that are kept per worker.
pub(super) const WORKER_CELLS: usize = width(Scope::Worker);
/// Cells that are kept per worker and listener.
pub(super) const LISTENER_CELLS: usize = width(Scope::Listener);
/// Cells that are kept per worker and stage.
pub(super) const STAGE_CELLS: usize = width(Scope::Stage);
/// Cells of the whole server.
pub(super) const SERVER_CELLS: usize = width(Scope::Server);

const fn width(scope: Scope) -> usize {
    let mut cells = 0;
    let mut at = 0;
    while at < METRICS.len() {
        if METRICS[at].scope as usize == scope as usize {
            cells += METRICS[at].cells();
        }
        at += 1;
    }
    cells
}

/// FNV-1a over everything that decides what a cell means.
pub(super) fn hash() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for row in METRICS {
        mix(row.name);
        mix(row.scope.name());
        row.values.iter().for_each(|value| mix(value));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compile-time and the run-time way to a cell agree.
    #[test]
    fn places_agree() {
        for row in METRICS {
            assert_eq!(cell(row.name), place(row), "{}", row.name);
        }
    }

    /// Names are unique and counters say so in their name.
    #[test]
    fn names_follow_the_convention() {
        let mut names: Vec<_> = METRICS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for row in METRICS {
            assert!(row.name.starts_with("ingest_"));
            assert_eq!(row.kind == Kind::Counter, row.name.ends_with("_total"), "{}", row.name);
        }
    }
}
