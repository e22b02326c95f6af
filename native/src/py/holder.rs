//! `Holder` for Python: started by a worker before anything else.

use std::os::fd::RawFd;

use pyo3::prelude::*;

use crate::receive::holder::{Errand, Holder};

/// The process that keeps the connections of this one when it is killed.
#[pyclass(name = "Holder", module = "ingest._native", frozen)]
pub struct PyHolder(Holder);

#[pymethods]
impl PyHolder {
    #[staticmethod]
    fn start() -> PyResult<Self> {
        Ok(Self(Holder::start()?))
    }

    #[getter]
    fn pid(&self) -> i32 {
        self.0.pid()
    }

    #[pyo3(signature = (*, lifeline, outbox, arena, listeners))]
    fn send(
        &self,
        lifeline: RawFd,
        outbox: RawFd,
        arena: RawFd,
        listeners: Vec<(usize, RawFd)>,
    ) -> PyResult<()> {
        Ok(self.0.send(&Errand { lifeline, outbox, arena, listeners })?)
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyHolder>()
}
