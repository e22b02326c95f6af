//! `Sources` for Python: the supervisor makes the table, the workers attach it.

use std::sync::Arc;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;

use crate::counters::Sources;

/// The table of sending addresses that all workers share.
#[pyclass(name = "Sources", module = "ingest._native", frozen)]
pub struct PySources(pub Arc<Sources>);

#[pymethods]
impl PySources {
    #[staticmethod]
    fn create(workers: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(Sources::create(workers)?)))
    }

    #[staticmethod]
    fn attach(fileno: i32) -> PyResult<Self> {
        Ok(Self(Arc::new(Sources::attach(fileno)?)))
    }

    fn fileno(&self) -> i32 {
        self.0.fileno()
    }

    fn clear(&self, worker: usize) -> PyResult<()> {
        if worker >= self.0.workers() {
            return Err(PyKeyError::new_err(format!("worker {worker}")));
        }
        self.0.clear(worker);
        Ok(())
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PySources>()
}
