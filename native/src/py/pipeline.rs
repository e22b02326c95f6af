//! The pipeline for Python: segments and dead letters to try out, batches that Python works on, and
//! Python's own engine for patterns.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::clock;
use crate::counters::Region;
use crate::dead_letter::DeadLetter;
use crate::decode::{Limits, Source};
use crate::pipeline::config;
use crate::pipeline::{Origin, Passage, PythonPatterns, Runner, Scrubber};
use crate::reject::Reject;
use crate::shard::{Handoff, Returned};

/// A callable of Python that decides what the Rust engine cannot.
pub(super) struct FullMatch(Py<PyAny>);

impl FullMatch {
    pub(super) fn shared(callable: Option<Py<PyAny>>) -> Option<Arc<dyn PythonPatterns>> {
        callable.map(|callable| Arc::new(Self(callable)) as Arc<dyn PythonPatterns>)
    }
}

impl PythonPatterns for FullMatch {
    fn full_match(&self, stage: usize, path: &str) -> bool {
        Python::attach(|py| {
            let matches = self.0.call1(py, (stage, path)).and_then(|found| found.is_truthy(py));
            matches.unwrap_or_else(|error| {
                error.write_unraisable(py, None);
                true
            })
        })
    }
}

/// Reads what a native segment is told.
pub(super) fn segment(json: &str) -> PyResult<config::Segment> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("segment: {error}")))
}

/// A native segment of the pipeline on its own.
#[pyclass(name = "Segment", module = "ingest._native", frozen)]
pub struct PySegment(Mutex<Runner>);

#[pymethods]
impl PySegment {
    #[new]
    #[pyo3(signature = (config, *, depth, keys, full_match=None))]
    fn new(config: &str, depth: u32, keys: u32, full_match: Option<Py<PyAny>>) -> PyResult<Self> {
        let limits = Limits { depth, keys };
        let runner = Runner::new(&segment(config)?, limits, FullMatch::shared(full_match))?;
        Ok(Self(Mutex::new(runner)))
    }

    #[pyo3(signature = (lines, *, listener="test", shard=0, received_ns=None, peer=None))]
    fn run(
        &self,
        py: Python<'_>,
        lines: Vec<Vec<u8>>,
        listener: &str,
        shard: usize,
        received_ns: Option<u64>,
        peer: Option<&str>,
    ) -> PyResult<Vec<(&'static str, Py<PyBytes>)>> {
        let peer = address(peer)?;
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runner = &mut *guard;
        let received_ns = received_ns.unwrap_or_else(clock::now_ns);
        runner.begin(&Origin { received_ns, peer, identity: None, listener, labels: None, shard });
        let mut out = Vec::new();
        let mut results = Vec::with_capacity(lines.len());
        for line in lines {
            out.clear();
            // A pattern may have to be decided by Python, which needs the interpreter.
            let passed = py.detach(|| runner.run(&Source::alone(&line, false), &mut out));
            let outcome = match passed {
                Ok(Passage::Kept(_)) => "kept",
                Ok(Passage::Filtered(_)) => "filtered",
                Err(reject) => reject.name(),
            };
            results.push((outcome, PyBytes::new(py, &out).unbind()));
        }
        Ok(results)
    }
}

/// The way of lines of one origin into the dead letters, without a journal.
#[pyclass(name = "DeadLetters", module = "ingest._native", frozen)]
pub struct PyDeadLetters {
    scrubber: Mutex<Scrubber>,
    listener: String,
    received_ns: u64,
    peer: Option<SocketAddr>,
}

#[pymethods]
impl PyDeadLetters {
    #[new]
    #[pyo3(signature = (redactors, *, has_foreign_redactors, listener, received_ns, peer=None, full_match=None))]
    fn new(
        redactors: &str,
        has_foreign_redactors: bool,
        listener: String,
        received_ns: u64,
        peer: Option<&str>,
        full_match: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let python = FullMatch::shared(full_match);
        let scrubber = Scrubber::new(&segment(redactors)?, has_foreign_redactors, python)?;
        Ok(Self { scrubber: Mutex::new(scrubber), listener, received_ns, peer: address(peer)? })
    }

    #[pyo3(signature = (line, reason, *, stage=None, length=None))]
    fn letter(
        &self,
        py: Python<'_>,
        line: Vec<u8>,
        reason: &str,
        stage: Option<&str>,
        length: Option<u64>,
    ) -> PyResult<Py<PyBytes>> {
        let known = Reject::ALL.into_iter().find(|reject| reject.name() == reason);
        let reject = known.ok_or_else(|| PyValueError::new_err(format!("reason: {reason}")))?;
        let length = length.unwrap_or(line.len() as u64);
        let mut out = Vec::new();
        // A pattern may have to be decided by Python, which needs the interpreter.
        py.detach(|| {
            let mut scrubber = self.scrubber.lock().unwrap_or_else(PoisonError::into_inner);
            let raw = scrubber.scrub(&line);
            let letter = DeadLetter {
                received_ns: self.received_ns,
                listener: &self.listener,
                peer: self.peer,
                reject,
                stage,
                line: &line,
                raw,
                length,
            };
            letter.write(&mut out);
        });
        Ok(PyBytes::new(py, out.strip_suffix(b"\n").unwrap_or(&out)).unbind())
    }
}

fn address(peer: Option<&str>) -> PyResult<Option<SocketAddr>> {
    let parse = |text: &str| {
        text.parse().map_err(|error| PyValueError::new_err(format!("{text}: {error}")))
    };
    peer.map(parse).transpose()
}

/// Number of events, listener, peer, identity, nanoseconds since the epoch.
type RunRow = (u32, String, Option<String>, Option<String>, u64);

/// A batch of events for one Python segment.
#[pyclass(name = "Handoff", module = "ingest._native", frozen)]
pub struct PyHandoff {
    /// Taken when it comes back.
    handoff: Mutex<Option<Handoff>>,
    #[pyo3(get)]
    segment: usize,
    #[pyo3(get)]
    lines: Py<PyBytes>,
    #[pyo3(get)]
    runs: Vec<RunRow>,
}

impl PyHandoff {
    pub(super) fn new(py: Python<'_>, handoff: Handoff, region: &Region) -> Self {
        let runs = handoff.runs.iter().map(|run| {
            let peer = run.sender.peer.map(|peer| peer.to_string());
            let identity = run.sender.identity.as_deref().map(str::to_owned);
            (run.count, region.listeners()[run.listener].clone(), peer, identity, run.received_ns)
        });
        Self {
            segment: handoff.segment,
            lines: PyBytes::new(py, &handoff.lines).unbind(),
            runs: runs.collect(),
            handoff: Mutex::new(Some(handoff)),
        }
    }

    pub(super) fn take(&self) -> PyResult<Handoff> {
        let taken = self.handoff.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| PyRuntimeError::new_err("the batch came back before"))
    }
}

/// Lines, verdicts and stages.
pub(super) type Answer<'a> = (&'a [u8], &'a [u8], &'a [u8]);

pub(super) fn returned((lines, verdicts, stages): Answer<'_>) -> Returned<'_> {
    Returned { lines, verdicts, stages }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PySegment>()?;
    module.add_class::<PyDeadLetters>()?;
    module.add_class::<PyHandoff>()
}
