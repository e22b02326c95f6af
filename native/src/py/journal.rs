//! `JournalReader` and `verify_directory` for Python.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::Error;
use crate::journal::{Cursor, SegmentReport, Start, verify_directory as verify};

/// One batch of a journal.
#[pyclass(name = "Batch", module = "ingest._native", frozen, get_all)]
pub struct PyBatch {
    first_sequence: u64,
    count: u64,
    missing: u64,
    first_received_ns: u64,
    last_received_ns: u64,
    sources: Vec<(String, u64)>,
    lines: Py<PyBytes>,
}

/// Reads the batches of a shard and goes on when more are written.
#[pyclass(name = "JournalReader", module = "ingest._native", frozen)]
pub struct PyJournalReader(Mutex<Cursor>);

#[derive(FromPyObject)]
enum StartArgument {
    Sequence(u64),
    Name(String),
}

#[pymethods]
impl PyJournalReader {
    #[new]
    #[pyo3(
        signature = (directory, *, start=StartArgument::Name("oldest".into()), last=None),
        text_signature = "(directory, *, start='oldest', last=None)"
    )]
    fn new(directory: PathBuf, start: StartArgument, last: Option<u64>) -> PyResult<Self> {
        let start = match (last, start) {
            (Some(events), _) => Start::Last(events),
            (None, StartArgument::Sequence(sequence)) => Start::Sequence(sequence),
            (None, StartArgument::Name(name)) => match name.as_str() {
                "oldest" => Start::Oldest,
                "end" => Start::End,
                _ => return Err(PyValueError::new_err(format!("start: {name:?}"))),
            },
        };
        Ok(Self(Mutex::new(Cursor::open(&directory, start)?)))
    }

    fn next(&self, py: Python<'_>) -> PyResult<Option<PyBatch>> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = &mut *guard;
        // The cursor's memory is its own, so reading and decompressing needs no interpreter.
        let batch = py.detach(|| cursor.next_batch().map(|batch| batch.map(|_| ())))?;
        if batch.is_none() {
            return Ok(None);
        }
        let batch = cursor.batch();
        Ok(Some(PyBatch {
            first_sequence: batch.first_sequence,
            count: batch.count,
            missing: batch.missing,
            first_received_ns: batch.first_received_ns,
            last_received_ns: batch.last_received_ns,
            sources: batch.sources.clone(),
            lines: PyBytes::new(py, &batch.lines).unbind(),
        }))
    }
}

/// What `verify` found in one segment.
#[pyclass(name = "SegmentReport", module = "ingest._native", frozen, get_all)]
pub struct PySegmentReport {
    path: String,
    first_sequence: u64,
    next_sequence: u64,
    bytes: u64,
    batches: u64,
    events: u64,
    findings: Vec<(String, u64, String)>,
}

impl From<SegmentReport> for PySegmentReport {
    fn from(report: SegmentReport) -> Self {
        let findings = report.findings.into_iter();
        Self {
            path: report.path.display().to_string(),
            first_sequence: report.first_sequence,
            next_sequence: report.next_sequence,
            bytes: report.bytes,
            batches: report.batches,
            events: report.events,
            findings: findings
                .map(|finding| (finding.kind.name().to_owned(), finding.offset, finding.what))
                .collect(),
        }
    }
}

/// Checks every segment of a shard.
#[pyfunction]
fn verify_directory(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<PySegmentReport>> {
    let reports: Result<_, Error> = py.detach(|| verify(&directory));
    Ok(reports?.into_iter().map(PySegmentReport::from).collect())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyJournalReader>()?;
    module.add_class::<PyBatch>()?;
    module.add_class::<PySegmentReport>()?;
    module.add_function(wrap_pyfunction!(verify_directory, module)?)
}
