//! Cells by the names that people use, and all of them at once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::region::Region;
use super::schema::{self, Cell, Scope};
use super::table::METRICS;
use crate::error::{Error, Result};

/// One value of one row, as read at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Index into [`METRICS`].
    pub metric: usize,
    /// Worker index; none for rows of the whole server.
    pub worker: Option<usize>,
    /// Listener or stage index, for rows kept for each of them.
    pub part: Option<usize>,
    /// Index into the row's label values, for rows with a label.
    pub value_index: Option<usize>,
    /// The cell.
    pub value: u64,
}

impl Region {
    /// Finds a cell by the names that people use; `part` is the index of a listener or stage.
    ///
    /// # Errors
    /// [`Error::Invalid`] names what does not exist.
    pub fn by_name(
        &self,
        worker: Option<usize>,
        metric: &str,
        part: Option<usize>,
        label: Option<&str>,
    ) -> Result<&AtomicU64> {
        let unknown = |what: String| Error::Invalid(format!("{metric}: {what}"));
        let (cell, row) = schema::find(metric).ok_or_else(|| unknown("no such metric".into()))?;
        if let Some(stranger) = worker.filter(|worker| *worker >= self.workers()) {
            return Err(unknown(format!("no worker {stranger}")));
        }
        let index = match label {
            None if row.values.is_empty() => 0,
            None => return Err(unknown(format!("needs a value of its label {}", row.label))),
            Some(label) => row
                .values
                .iter()
                .position(|value| *value == label)
                .ok_or_else(|| unknown(format!("no label value {label:?}")))?,
        };
        self.locate(cell, worker, part, index).ok_or_else(|| {
            let scope = row.scope.name();
            unknown(format!("kept per {scope}, worker {worker:?} and index {part:?} given"))
        })
    }

    /// A cell of a row by what its scope is kept for.
    fn locate(
        &self,
        cell: Cell,
        worker: Option<usize>,
        part: Option<usize>,
        index: usize,
    ) -> Option<&AtomicU64> {
        match (cell.scope, worker, part) {
            (Scope::Server, None, None) => Some(self.server(cell, index)),
            (Scope::Worker, Some(worker), None) => Some(self.worker(worker, cell, index)),
            (Scope::Listener, Some(worker), Some(part)) if part < self.listeners().len() => {
                Some(self.listener(worker, part, cell, index))
            }
            (Scope::Stage, Some(worker), Some(part)) if part < self.stages().len() => {
                Some(self.stage(worker, part, cell, index))
            }
            _ => None,
        }
    }

    /// Every worker and listener or stage that a row of this scope has cells for.
    fn places(&self, scope: Scope) -> Vec<(Option<usize>, Option<usize>)> {
        let parts = match scope {
            Scope::Server => return vec![(None, None)],
            Scope::Worker => {
                return (0..self.workers()).map(|worker| (Some(worker), None)).collect();
            }
            Scope::Listener => self.listeners().len(),
            Scope::Stage => self.stages().len(),
        };
        let workers = 0..self.workers();
        workers.flat_map(|worker| (0..parts).map(move |part| (Some(worker), Some(part)))).collect()
    }

    /// Reads every cell of every public row.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (metric, row) in METRICS.iter().enumerate().filter(|(_, row)| row.public) {
            let cell = schema::place(row);
            for (worker, part) in self.places(row.scope) {
                let cells = (0..row.cells()).filter_map(|index| {
                    let value = self.locate(cell, worker, part, index)?.load(Ordering::Relaxed);
                    let value_index = (!row.values.is_empty()).then_some(index);
                    Some(Sample { metric, worker, part, value_index, value })
                });
                samples.extend(cells);
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("tcp-{index}")).collect()
    }

    /// No two (worker, listener or stage, row, label value) share a cell.
    #[test]
    fn cells_do_not_overlap() {
        let region = Region::create(2, &names(3), &names(2), b"").unwrap();
        for (value, sample) in region.samples().iter().enumerate() {
            let row = &METRICS[sample.metric];
            let label = sample.value_index.map(|index| row.values[index]);
            region
                .by_name(sample.worker, row.name, sample.part, label)
                .unwrap()
                .store(value as u64, Ordering::Relaxed);
        }
        for (value, sample) in region.samples().iter().enumerate() {
            assert_eq!(sample.value, value as u64);
        }
    }

    /// Names that do not exist are errors that say so.
    #[test]
    fn unknown_names_are_errors() {
        let region = Region::create(1, &names(1), &[], b"").unwrap();
        for (worker, metric, listener, label) in [
            (Some(0), "ingest_nothing", None, None),
            (Some(1), "ingest_worker_pid", None, None),
            (None, "ingest_worker_pid", None, None),
            (Some(0), "ingest_worker_pid", Some(0), None),
            (Some(0), "ingest_reload_running", None, None),
            (Some(0), "ingest_events_received_total", None, None),
            (Some(0), "ingest_events_received_total", Some(1), None),
            (Some(0), "ingest_events_lost_total", Some(0), None),
            (Some(0), "ingest_events_lost_total", Some(0), Some("moon")),
        ] {
            assert!(region.by_name(worker, metric, listener, label).is_err(), "{metric}");
        }
    }
}
