//! `Region`, `Ledger` and the metric table for Python.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::counters::{DROP_REASONS, Kind, LOST_REASONS, Ledger, METRICS, Region, Scope, add};
use crate::error::Error;

/// One row of the metric table.
#[pyclass(name = "Metric", module = "ingest._native", frozen, get_all)]
#[derive(Clone)]
pub struct PyMetric {
    name: &'static str,
    kind: &'static str,
    scope: &'static str,
    unit: &'static str,
    scale: u64,
    label: Option<&'static str>,
    label_values: Vec<&'static str>,
    public: bool,
    help: &'static str,
}

/// The sum of one worker and listener at one moment.
#[pyclass(name = "Ledger", module = "ingest._native", frozen, get_all)]
pub struct PyLedger {
    received: u64,
    journaled: u64,
    filtered: u64,
    dead_lettered: u64,
    dropped: BTreeMap<&'static str, u64>,
    lost: BTreeMap<&'static str, u64>,
    in_flight: u64,
    kernel_dropped: u64,
    closed: bool,
}

impl From<Ledger> for PyLedger {
    fn from(ledger: Ledger) -> Self {
        Self {
            received: ledger.received,
            journaled: ledger.journaled,
            filtered: ledger.filtered,
            dead_lettered: ledger.dead_lettered,
            dropped: DROP_REASONS.iter().copied().zip(ledger.dropped).collect(),
            lost: LOST_REASONS.iter().copied().zip(ledger.lost).collect(),
            in_flight: ledger.in_flight,
            kernel_dropped: ledger.kernel_dropped,
            closed: ledger.closed,
        }
    }
}

/// The shared region of a running server, with its directory as last refreshed.
#[pyclass(name = "Region", module = "ingest._native", frozen)]
pub struct PyRegion(RwLock<Arc<Region>>);

/// Metric index, worker, index of the listener or stage, label value, cell.
type SampleRow = (usize, Option<usize>, Option<usize>, Option<&'static str>, u64);

fn key_error(error: Error) -> PyErr {
    match error {
        Error::Invalid(what) => PyKeyError::new_err(what),
        other => other.into(),
    }
}

/// Index of the listener or stage that a row is asked for; at most one of them is given.
fn part(metric: &str, listener: Option<usize>, stage: Option<usize>) -> PyResult<Option<usize>> {
    let scope = METRICS.iter().find(|row| row.name == metric).map(|row| row.scope);
    match scope {
        Some(Scope::Stage) if listener.is_none() => Ok(stage),
        _ if stage.is_none() => Ok(listener),
        _ => Err(PyKeyError::new_err(format!("{metric}: a listener or a stage"))),
    }
}

impl PyRegion {
    fn new(region: Region) -> Self {
        Self(RwLock::new(Arc::new(region)))
    }

    /// The region as of its last refresh.
    pub fn view(&self) -> Arc<Region> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, region: Region) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(region);
    }

    fn with_cell<T>(
        &self,
        worker: Option<usize>,
        metric: &str,
        part: Option<usize>,
        label: Option<&str>,
        use_it: impl FnOnce(&AtomicU64) -> T,
    ) -> PyResult<T> {
        self.view().by_name(worker, metric, part, label).map(use_it).map_err(key_error)
    }
}

#[pymethods]
impl PyRegion {
    #[staticmethod]
    #[pyo3(signature = (workers, listeners, stages, descriptor, *, file=None))]
    fn create(
        workers: usize,
        listeners: Vec<String>,
        stages: Vec<String>,
        descriptor: &[u8],
        file: Option<i32>,
    ) -> PyResult<Self> {
        let region = match file {
            Some(file) => Region::create_in(file, workers, &listeners, &stages, descriptor),
            None => Region::create(workers, &listeners, &stages, descriptor),
        };
        Ok(Self::new(region?))
    }

    #[staticmethod]
    fn attach(fileno: i32) -> PyResult<Self> {
        Ok(Self::new(Region::attach(fileno)?))
    }

    fn publish(
        &self,
        listeners: Vec<String>,
        stages: Vec<String>,
        descriptor: &[u8],
    ) -> PyResult<()> {
        let region = self.view().publish(&listeners, &stages, descriptor)?;
        self.show(region);
        Ok(())
    }

    fn refresh(&self) -> PyResult<()> {
        if let Some(region) = self.view().refreshed()? {
            self.show(region);
        }
        Ok(())
    }

    fn fileno(&self) -> i32 {
        self.view().fileno()
    }

    #[getter]
    fn workers(&self) -> usize {
        self.view().workers()
    }

    #[getter]
    fn listeners(&self) -> Vec<String> {
        self.view().listeners().to_vec()
    }

    #[getter]
    fn stages(&self) -> Vec<String> {
        self.view().stages().to_vec()
    }

    #[getter]
    fn descriptor<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.view().descriptor())
    }

    #[getter]
    fn boot_time_ns(&self) -> u64 {
        self.view().boot_time_ns()
    }

    #[pyo3(signature = (worker, metric, *, listener=None, stage=None, label=None))]
    fn get(
        &self,
        worker: Option<usize>,
        metric: &str,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<u64> {
        let part = part(metric, listener, stage)?;
        self.with_cell(worker, metric, part, label, |cell| cell.load(Ordering::Acquire))
    }

    #[pyo3(signature = (worker, metric, value, *, listener=None, stage=None, label=None))]
    fn set(
        &self,
        worker: Option<usize>,
        metric: &str,
        value: u64,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<()> {
        let part = part(metric, listener, stage)?;
        self.with_cell(worker, metric, part, label, |cell| cell.store(value, Ordering::Release))
    }

    #[pyo3(signature = (worker, metric, value=1, *, listener=None, stage=None, label=None))]
    fn add(
        &self,
        worker: Option<usize>,
        metric: &str,
        value: u64,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<()> {
        let part = part(metric, listener, stage)?;
        self.with_cell(worker, metric, part, label, |cell| add(cell, value))
    }

    fn ledger(&self, worker: usize, listener: usize) -> PyResult<PyLedger> {
        let region = self.view();
        if worker >= region.workers() || listener >= region.listeners().len() {
            return Err(PyKeyError::new_err(format!("worker {worker}, listener {listener}")));
        }
        Ok(Ledger::read(&region, worker, listener).into())
    }

    fn samples(&self) -> Vec<SampleRow> {
        self.view()
            .samples()
            .into_iter()
            .map(|sample| {
                let label = sample.value_index.map(|index| METRICS[sample.metric].values[index]);
                (sample.metric, sample.worker, sample.part, label, sample.value)
            })
            .collect()
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRegion>()?;
    module.add_class::<PyLedger>()?;
    module.add_class::<PyMetric>()?;
    let rows = METRICS.iter().map(|row| PyMetric {
        name: row.name,
        kind: match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        },
        scope: row.scope.name(),
        unit: row.unit,
        scale: row.scale,
        label: (!row.label.is_empty()).then_some(row.label),
        label_values: row.values.to_vec(),
        public: row.public,
        help: row.help,
    });
    let rows: Vec<PyMetric> = rows.collect();
    module.add("METRICS", PyTuple::new(module.py(), rows)?)
}
