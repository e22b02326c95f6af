//! The shared region: every number the server tells about itself, in cells that outlive
//! the process that writes them.

mod bucket;
mod directory;
mod ledger;
mod mapping;
mod names;
mod region;
mod schema;
mod sources;
mod table;

pub(crate) use ledger::commit;
pub use ledger::{Journal, Ledger, counted_sequence, resume, settle};
pub use names::Sample;
pub use region::{MAXIMUM_LISTENERS, Region, add, observe};
pub use schema::{Cell, Kind, Metric, Scope, cells};
pub use sources::{Load, Place, Rates, Sources};
pub use table::{
    ACCEPT_PAUSES, DROP_REASONS, EXPIRIES, HANDSHAKE_FAILURES, LOST_REASONS, METRICS, MOVE_CAUSES,
    PLUGIN_DROP_REASONS, REFUSALS, SOURCE_LIMITS,
};
