//! The shared region: every number the server tells about itself, in cells that outlive
//! the process that writes them.

mod ledger;
mod mapping;
mod names;
mod region;
mod schema;
mod table;

pub(crate) use ledger::commit;
pub use ledger::{Journal, Ledger, counted_sequence, settle};
pub use names::Sample;
pub use region::{Region, add, observe};
pub use schema::{Cell, Kind, Metric, Scope, cells};
pub use table::{DROP_REASONS, LOST_REASONS, METRICS, MOVE_CAUSES, PLUGIN_DROP_REASONS};
