//! The certificates of the listeners that speak TLS: opened with them, and taken anew when their
//! files change.

use std::time::{Duration, Instant};

use super::receiver::{Listener, Receiver};
use super::tls_files::TlsFiles;
use crate::counters::{add, cells};
use crate::error::{Error, Result};

/// How often the files of certificates are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The certificates of a listener that speaks TLS. One that is not bound opens no connection any
/// more.
///
/// # Errors
/// [`Error::Invalid`] naming the listener and what is wrong.
pub fn certificates(listener: &Listener) -> Result<Option<TlsFiles>> {
    let tls = listener.config.tls.as_ref().filter(|_| listener.socket.is_some());
    tls.map(TlsFiles::open).transpose().map_err(|error| match error {
        Error::Invalid(what) => {
            Error::Invalid(format!("listener {:?}: {what}", listener.config.name))
        }
        other => other,
    })
}

impl Receiver {
    /// Takes certificates that have changed, for new connections.
    pub(super) fn refresh_certificates(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_INTERVAL;
        for (files, listener) in self.certificates.iter_mut().zip(&self.listeners) {
            let Some(refreshed) = files.as_mut().and_then(TlsFiles::refresh) else { continue };
            let index = listener.config.index;
            let cell = match refreshed {
                Ok(()) => cells::TLS_RELOADS,
                Err(error) => {
                    let words = || format!("the former certificates stay in use: {error}");
                    self.notices.add(index, "tls_reload", None, words);
                    cells::TLS_RELOAD_ERRORS
                }
            };
            add(self.region.listener(self.worker, index, cell, 0), 1);
        }
    }
}
