//! `Region`, `Ledger` and the metric table for Python.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The shared region of a running server.
#[pyclass(name = "Region", module = "ingest._native", frozen)]
pub struct PyRegion(pub Arc<Region>);

/// Metric index, worker, index of the listener or stage, label value, cell.
type SampleRow = (usize, usize, Option<usize>, Option<&'static str>, u64);

fn key_error(error: Error) -> PyErr {
    match error {
        Error::Invalid(what) => PyKeyError::new_err(what),
        other => other.into(),
    }
}

impl PyRegion {
    fn cell(
        &self,
        worker: usize,
        metric: &str,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<&AtomicU64> {
        let scope = METRICS.iter().find(|row| row.name == metric).map(|row| row.scope);
        let part = match scope {
            Some(Scope::Stage) if listener.is_none() => stage,
            _ if stage.is_none() => listener,
            _ => return Err(PyKeyError::new_err(format!("{metric}: a listener or a stage"))),
        };
        self.0.by_name(worker, metric, part, label).map_err(key_error)
    }
}

#[pymethods]
impl PyRegion {
    #[staticmethod]
    #[pyo3(signature = (workers, listeners, stages, descriptor))]
    fn create(
        workers: usize,
        listeners: Vec<String>,
        stages: Vec<String>,
        descriptor: &[u8],
    ) -> PyResult<Self> {
        Ok(Self(Arc::new(Region::create(workers, &listeners, &stages, descriptor)?)))
    }

    #[staticmethod]
    fn attach(fileno: i32) -> PyResult<Self> {
        Ok(Self(Arc::new(Region::attach(fileno)?)))
    }

    fn fileno(&self) -> i32 {
        self.0.fileno()
    }

    #[getter]
    fn workers(&self) -> usize {
        self.0.workers()
    }

    #[getter]
    fn listeners(&self) -> Vec<String> {
        self.0.listeners().to_vec()
    }

    #[getter]
    fn stages(&self) -> Vec<String> {
        self.0.stages().to_vec()
    }

    #[getter]
    fn descriptor<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.descriptor())
    }

    #[getter]
    fn boot_time_ns(&self) -> u64 {
        self.0.boot_time_ns()
    }

    #[pyo3(signature = (worker, metric, *, listener=None, stage=None, label=None))]
    fn get(
        &self,
        worker: usize,
        metric: &str,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<u64> {
        let cell = self.cell(worker, metric, listener, stage, label)?;
        Ok(cell.load(Ordering::Acquire))
    }

    #[pyo3(signature = (worker, metric, value, *, listener=None, stage=None, label=None))]
    fn set(
        &self,
        worker: usize,
        metric: &str,
        value: u64,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<()> {
        let cell = self.cell(worker, metric, listener, stage, label)?;
        cell.store(value, Ordering::Release);
        Ok(())
    }

    #[pyo3(signature = (worker, metric, value=1, *, listener=None, stage=None, label=None))]
    fn add(
        &self,
        worker: usize,
        metric: &str,
        value: u64,
        listener: Option<usize>,
        stage: Option<usize>,
        label: Option<&str>,
    ) -> PyResult<()> {
        let cell = self.cell(worker, metric, listener, stage, label)?;
        add(cell, value);
        Ok(())
    }

    fn ledger(&self, worker: usize, listener: usize) -> PyResult<PyLedger> {
        if worker >= self.0.workers() || listener >= self.0.listeners().len() {
            return Err(PyKeyError::new_err(format!("worker {worker}, listener {listener}")));
        }
        Ok(Ledger::read(&self.0, worker, listener).into())
    }

    fn samples(&self) -> Vec<SampleRow> {
        self.0
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
