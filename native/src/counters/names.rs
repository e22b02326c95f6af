//! Cells by the names that people use, and all of them at once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::region::Region;
use super::schema::{self, Metric, Scope};
use super::table::METRICS;
use crate::error::{Error, Result};

/// One value of one row, as read at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Index into [`METRICS`].
    pub metric: usize,
    /// Worker index.
    pub worker: usize,
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
        worker: usize,
        metric: &str,
        part: Option<usize>,
        label: Option<&str>,
    ) -> Result<&AtomicU64> {
        let unknown = |what: String| Error::Invalid(format!("{metric}: {what}"));
        let (cell, row) = schema::find(metric).ok_or_else(|| unknown("no such metric".into()))?;
        if worker >= self.workers() {
            return Err(unknown(format!("no worker {worker}")));
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
        match (row.scope, part) {
            (Scope::Worker, None) => Ok(self.worker(worker, cell, index)),
            (Scope::Listener, Some(part)) if part < self.listeners().len() => {
                Ok(self.listener(worker, part, cell, index))
            }
            (Scope::Stage, Some(part)) if part < self.stages().len() => {
                Ok(self.stage(worker, part, cell, index))
            }
            _ => Err(unknown(format!("kept per {}, index {part:?} given", row.scope.name()))),
        }
    }

    /// Reads every cell of every public row.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (metric, row) in METRICS.iter().enumerate().filter(|(_, row)| row.public) {
            for worker in 0..self.workers() {
                let parts = match row.scope {
                    Scope::Worker => 1,
                    Scope::Listener => self.listeners().len(),
                    Scope::Stage => self.stages().len(),
                };
                for part in 0..parts {
                    self.sample_row(&mut samples, metric, row, worker, part);
                }
            }
        }
        samples
    }

    fn sample_row(
        &self,
        samples: &mut Vec<Sample>,
        metric: usize,
        row: &Metric,
        worker: usize,
        part: usize,
    ) {
        let cell = schema::place(row);
        for index in 0..row.cells() {
            let place = match row.scope {
                Scope::Worker => self.worker(worker, cell, index),
                Scope::Listener => self.listener(worker, part, cell, index),
                Scope::Stage => self.stage(worker, part, cell, index),
            };
            samples.push(Sample {
                metric,
                worker,
                part: (row.scope != Scope::Worker).then_some(part),
                value_index: (!row.values.is_empty()).then_some(index),
                value: place.load(Ordering::Relaxed),
            });
        }
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
            (0, "ingest_nothing", None, None),
            (1, "ingest_worker_pid", None, None),
            (0, "ingest_worker_pid", Some(0), None),
            (0, "ingest_events_received_total", None, None),
            (0, "ingest_events_received_total", Some(1), None),
            (0, "ingest_events_lost_total", Some(0), None),
            (0, "ingest_events_lost_total", Some(0), Some("moon")),
        ] {
            assert!(region.by_name(worker, metric, listener, label).is_err(), "{metric}");
        }
    }
}
