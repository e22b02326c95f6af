//! `JournalReader`, and what checks and repairs a journal, for Python.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::Error;
use crate::journal::{
    Audit, Cursor, Repair, SegmentReport, Start, audit_directory as audit,
    repair_directory as repair, verify_directory as verify,
};

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

/// What the chain of a shard says about its files.
#[pyclass(name = "Audit", module = "ingest._native", frozen, get_all)]
pub struct PyAudit {
    seals: u64,
    good: u64,
    unsealed: u64,
    deleted: u64,
    repaired: Vec<String>,
    head: Option<String>,
    known: Vec<String>,
    findings: Vec<(String, String)>,
}

impl From<Audit> for PyAudit {
    fn from(audit: Audit) -> Self {
        let findings = audit.findings.into_iter();
        Self {
            seals: audit.seals,
            good: audit.good,
            unsealed: audit.unsealed,
            deleted: audit.deleted,
            repaired: audit.repaired.iter().map(|path| path.display().to_string()).collect(),
            head: audit.head,
            known: audit.known,
            findings: findings.map(|(path, what)| (path.display().to_string(), what)).collect(),
        }
    }
}

/// Checks the chain of a shard, and every sealed segment against it.
#[pyfunction]
fn audit_directory(py: Python<'_>, directory: PathBuf, digests: Vec<String>) -> PyResult<PyAudit> {
    let audit: Result<_, Error> = py.detach(|| audit(&directory, &digests));
    Ok(audit?.into())
}

/// What was done, or would be, for a damaged segment.
#[pyclass(name = "Repair", module = "ingest._native", frozen, get_all)]
pub struct PyRepair {
    path: String,
    damaged_path: Option<String>,
    batches: u64,
    events: u64,
    damaged_bytes: u64,
    missing: Vec<(u64, u64)>,
}

impl From<Repair> for PyRepair {
    fn from(repair: Repair) -> Self {
        Self {
            path: repair.path.display().to_string(),
            damaged_path: repair.damaged_path.map(|path| path.display().to_string()),
            batches: repair.batches,
            events: repair.events,
            damaged_bytes: repair.damaged_bytes,
            missing: repair.missing,
        }
    }
}

/// Takes what is damaged out of the segments of a shard.
#[pyfunction]
#[pyo3(signature = (directory, *, dry_run))]
fn repair_directory(py: Python<'_>, directory: PathBuf, dry_run: bool) -> PyResult<Vec<PyRepair>> {
    let repairs: Result<_, Error> = py.detach(|| repair(&directory, dry_run));
    Ok(repairs?.into_iter().map(PyRepair::from).collect())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyJournalReader>()?;
    module.add_class::<PyBatch>()?;
    module.add_class::<PySegmentReport>()?;
    module.add_class::<PyAudit>()?;
    module.add_class::<PyRepair>()?;
    module.add_function(wrap_pyfunction!(verify_directory, module)?)?;
    module.add_function(wrap_pyfunction!(audit_directory, module)?)?;
    module.add_function(wrap_pyfunction!(repair_directory, module)?)
}
