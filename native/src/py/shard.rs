//! `Shard` for Python: the worker's loop drains it when its descriptor is readable.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::arena::PyArena;
use super::pipeline::{Answer, FullMatch, PyHandoff, returned, segment};
use super::region::PyRegion;
use super::sources::PySources;
use crate::counters::Region;
use crate::decode;
use crate::error::Error;
use crate::journal::{Compression, Recovery};
use crate::receive::config::ListenerConfig;
use crate::receive::{self, Bounds, Inboxes, Listener, Notice, Sender, Sockets, Submission};
use crate::shard::{
    Found, Handoff, Keeping, Limits, Pipeline, Reply, Shard, SharedMemory, recover,
};

/// What opening the journals of a shard found.
#[pyclass(name = "Found", module = "ingest._native", frozen, get_all)]
pub struct PyFound {
    events_sequence: u64,
    dead_sequence: u64,
    lost: u64,
    notes: Vec<String>,
}

impl From<Found> for PyFound {
    fn from(found: Found) -> Self {
        let notes = notes(&found.events).chain(notes(&found.dead)).collect();
        Self {
            events_sequence: found.events.next_sequence,
            dead_sequence: found.dead.next_sequence,
            lost: found.lost,
            notes,
        }
    }
}

fn notes(recovery: &Recovery) -> impl Iterator<Item = String> {
    let cut = recovery.cut.iter().map(|cut| {
        format!("{}: cut {} torn bytes at byte {}", cut.path.display(), cut.bytes, cut.offset)
    });
    let damage = recovery.damage.iter().map(|damage| {
        let (path, offset) = (damage.path.display(), damage.offset);
        format!("{path}: {} bytes at byte {offset} are no batch", damage.bytes)
    });
    cut.chain(damage)
}

/// The sockets and journals of one worker.
#[pyclass(name = "Shard", module = "ingest._native", frozen)]
pub struct PyShard {
    /// Taken by `finish`.
    shard: Mutex<Option<Shard>>,
    region: Arc<Region>,
    found: Py<PyFound>,
}

/// Has Python work on a batch of a shard that ends.
type Process<'a> = dyn FnMut(Handoff, &mut Reply<'_>) -> bool + 'a;

impl PyShard {
    fn with<T>(&self, use_it: impl FnOnce(&mut Shard) -> T) -> PyResult<T> {
        self.lock()
            .as_mut()
            .map(use_it)
            .ok_or_else(|| PyRuntimeError::new_err("the shard is finished"))
    }

    /// Ends the shard; `process`, if any, is Python's work on a batch.
    fn end(
        &self,
        py: Python<'_>,
        patience_seconds: f64,
        process: Option<Py<PyAny>>,
        end: impl FnOnce(Shard, Duration, &mut Process<'_>) -> u64 + Send,
    ) -> PyResult<u64> {
        let patience = duration(patience_seconds)?;
        let shard = self.lock().take();
        let shard = shard.ok_or_else(|| PyRuntimeError::new_err("the shard is finished"))?;
        let mut failure = None;
        let lost = py.detach(|| {
            end(shard, patience, &mut |handoff, reply| {
                let answered = Python::attach(|py| {
                    let Some(process) = &process else {
                        return Err(PyRuntimeError::new_err("nobody processes the batch"));
                    };
                    let batch = Py::new(py, PyHandoff::new(py, handoff, &self.region))?;
                    let answer = process.call1(py, (batch.clone_ref(py),))?;
                    let Some(answer) = answer.extract::<Option<Answer>>(py)? else {
                        return Ok(false);
                    };
                    let handoff = batch.get().take()?;
                    reply.accept(handoff, &returned(answer))?;
                    Ok(true)
                });
                answered.map_err(|error: PyErr| failure = Some(error)).unwrap_or(false)
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(lost),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shard>> {
        // A panic while it was held ends the worker; until then the counters stay readable.
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| PyValueError::new_err(format!("{seconds} seconds: {error}")))
}

fn compression(name: &str, level: i32) -> PyResult<Compression> {
    match name {
        "auto" => Ok(Compression::Auto),
        "none" => Ok(Compression::None),
        "zstd" => Ok(Compression::Zstd(level)),
        _ => Err(PyValueError::new_err(format!("no such compression: {name}"))),
    }
}

fn listener(json: &str) -> PyResult<Listener> {
    let config: ListenerConfig = serde_json::from_str(json)
        .map_err(|error| PyValueError::new_err(format!("listener: {error}")))?;
    if let Some(descriptor) = config.descriptor.filter(|descriptor| *descriptor < 0) {
        return Err(PyValueError::new_err(format!("descriptor {descriptor}")));
    }
    // SAFETY: the documented contract of `Shard` is that it takes the descriptors over.
    Ok(unsafe { Listener::adopt(config) })
}

fn adopt(descriptor: RawFd) -> PyResult<OwnedFd> {
    if descriptor < 0 {
        return Err(PyValueError::new_err(format!("descriptor {descriptor}")));
    }
    // SAFETY: the documented contract of `Shard` is that it takes the descriptors over.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Listener, cause, peer, detail, and how many others there were.
type NoticeRow = (String, &'static str, Option<String>, String, u64);

#[pymethods]
impl PyShard {
    #[new]
    #[allow(clippy::too_many_arguments)] // all by keyword: the two specs, one field each
    #[pyo3(signature = (region, sources, arena, worker, data_dir, listeners, *, inbox, outboxes, compression, compression_level,
        sync_interval_seconds, segment_bytes, segment_age_seconds, retention_bytes,
        retention_age_seconds, recompress_level, queue_bytes, depth, keys, connections, partial_bytes,
        segments, redactors, has_foreign_redactors, full_match))]
    fn new(
        py: Python<'_>,
        region: &PyRegion,
        sources: &PySources,
        arena: &PyArena,
        worker: usize,
        data_dir: PathBuf,
        listeners: Vec<String>,
        inbox: RawFd,
        outboxes: Vec<RawFd>,
        compression: &str,
        compression_level: i32,
        sync_interval_seconds: f64,
        segment_bytes: u64,
        segment_age_seconds: f64,
        retention_bytes: Option<u64>,
        retention_age_seconds: Option<f64>,
        recompress_level: Option<i32>,
        queue_bytes: usize,
        depth: u32,
        keys: u32,
        connections: u64,
        partial_bytes: usize,
        segments: Vec<String>,
        redactors: &str,
        has_foreign_redactors: bool,
        full_match: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let keeping = Keeping {
            compression: self::compression(compression, compression_level)?,
            sync_interval: duration(sync_interval_seconds)?,
            segment_bytes,
            segment_age: duration(segment_age_seconds)?,
            retention_bytes,
            retention_age: retention_age_seconds.map(duration).transpose()?,
            recompress_level,
            queue_bytes,
        };
        let event = decode::Limits { depth, keys };
        let receive = Bounds { connections, partial_bytes };
        let limits = Limits { event, receive };
        let listeners =
            listeners.iter().map(|json| listener(json)).collect::<PyResult<Vec<_>>>()?;
        let inboxes = Inboxes {
            own: adopt(inbox)?,
            all: outboxes.into_iter().map(adopt).collect::<PyResult<_>>()?,
        };
        let sockets = Sockets { listeners, inboxes, arena: arena.mapped()? };
        let region = region.view();
        let pipeline = Pipeline {
            segments: segments.iter().map(|json| segment(json)).collect::<PyResult<_>>()?,
            redactors: segment(redactors)?,
            has_foreign_redactors,
            python: FullMatch::shared(full_match),
        };
        let memory = SharedMemory { region: Arc::clone(&region), sources: Arc::clone(&sources.0) };
        let (shard, found) = py.detach(|| {
            Shard::open(&memory, worker, &data_dir, sockets, &keeping, limits, &pipeline)
        })?;
        let found = Py::new(py, PyFound::from(found))?;
        Ok(Self { shard: Mutex::new(Some(shard)), region, found })
    }

    #[getter]
    fn found(&self, py: Python<'_>) -> Py<PyFound> {
        self.found.clone_ref(py)
    }

    fn fileno(&self) -> PyResult<RawFd> {
        self.with(|shard| shard.fileno())
    }

    fn progress_filenos(&self) -> PyResult<(RawFd, RawFd)> {
        self.with(|shard| shard.progress_filenos().into())
    }

    fn listen(&self) -> PyResult<()> {
        Ok(self.with(Shard::listen)??)
    }

    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.with(Shard::drain))
    }

    fn take_handoff(&self, py: Python<'_>) -> PyResult<Option<PyHandoff>> {
        let handoff = self.with(Shard::take_handoff)?;
        Ok(handoff.map(|handoff| PyHandoff::new(py, handoff, &self.region)))
    }

    fn accept(
        &self,
        py: Python<'_>,
        handoff: &PyHandoff,
        lines: &[u8],
        verdicts: &[u8],
        stages: &[u8],
    ) -> PyResult<()> {
        let handoff = handoff.take()?;
        let answer = returned((lines, verdicts, stages));
        Ok(py.detach(|| self.with(|shard| shard.accept(handoff, &answer)))??)
    }

    fn resume(&self) -> PyResult<bool> {
        self.with(Shard::resume)
    }

    #[pyo3(signature = (listener, body, peer=None, identity=None))]
    fn submit(
        &self,
        py: Python<'_>,
        listener: usize,
        body: &[u8],
        peer: Option<&str>,
        identity: Option<&str>,
    ) -> PyResult<Option<u64>> {
        let peer = peer.map(|text| {
            text.parse().map_err(|error| PyValueError::new_err(format!("peer {text:?}: {error}")))
        });
        let sender = Sender { peer: peer.transpose()?, identity: identity.map(Arc::from) };
        let submission = Submission { listener, sender, body };
        Ok(py.detach(|| self.with(|shard| shard.submit(&submission)))??)
    }

    fn durable_position(&self) -> PyResult<u64> {
        self.with(Shard::durable_position)
    }

    fn acknowledge_progress(&self) -> PyResult<()> {
        self.with(|shard| shard.acknowledge_progress())
    }

    fn sync_now(&self) -> PyResult<()> {
        self.with(Shard::sync_now)
    }

    fn tick(&self) -> PyResult<()> {
        Ok(self.with(Shard::tick)??)
    }

    fn take_notices(&self) -> PyResult<Vec<NoticeRow>> {
        let notices = self.with(Shard::take_notices)?;
        let row = |notice: Notice| {
            let listener = self.region.listeners()[notice.listener].clone();
            let peer = notice.peer.map(|peer| peer.to_string());
            (listener, notice.cause, peer, notice.detail, notice.others)
        };
        Ok(notices.into_iter().map(row).collect())
    }

    fn stall_text(&self) -> PyResult<Option<String>> {
        self.with(|shard| shard.stall_text())
    }

    fn take_upkeep_error(&self) -> PyResult<Option<String>> {
        self.with(|shard| shard.take_upkeep_error())
    }

    #[pyo3(signature = (patience_seconds, process=None))]
    fn finish(
        &self,
        py: Python<'_>,
        patience_seconds: f64,
        process: Option<Py<PyAny>>,
    ) -> PyResult<u64> {
        self.end(py, patience_seconds, process, |shard, patience, process| {
            shard.finish(patience, process)
        })
    }

    #[pyo3(signature = (patience_seconds, process=None))]
    fn hand_over(
        &self,
        py: Python<'_>,
        patience_seconds: f64,
        process: Option<Py<PyAny>>,
    ) -> PyResult<u64> {
        self.end(py, patience_seconds, process, |shard, patience, process| {
            shard.hand_over(patience, process)
        })
    }
}

/// Settles the counters of a worker that is gone.
#[pyfunction]
fn recover_worker(
    py: Python<'_>,
    region: &PyRegion,
    worker: usize,
    data_dir: PathBuf,
) -> PyResult<PyFound> {
    let region = region.view();
    if worker >= region.workers() {
        return Err(Error::Invalid(format!("no worker {worker}")).into());
    }
    Ok(py.detach(|| recover(&region, worker, &data_dir))?.into())
}

/// Whether a TLS listener could be opened with these files.
#[pyfunction]
#[pyo3(signature = (certificate, key, client_ca=None))]
fn check_tls(certificate: PathBuf, key: PathBuf, client_ca: Option<PathBuf>) -> PyResult<()> {
    Ok(receive::check_tls(&certificate, &key, client_ca.as_deref())?)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyShard>()?;
    module.add_class::<PyFound>()?;
    module.add_function(wrap_pyfunction!(check_tls, module)?)?;
    module.add_function(wrap_pyfunction!(recover_worker, module)?)
}
