//! What comes before the first frame of a connection: the header of a proxy, from those who are
//! believed, and the TLS handshake. Both have one deadline. A header from anybody else is refused.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::admission::Refusal;
use super::connections::Connection;
use super::proxy_protocol::{self, Parsed};
use super::receiver::{Outcome, Receiver};
use super::socket::{self, Received};
use super::tls_failure::HandshakeFailure;
use super::tls_session::TlsSession;
use crate::counters::{add, cells};

/// The most that one read takes while a header is waited for.
const HEADER_BYTES: usize = 4096;
/// What a step of a handshake counts for in a drain: it computes as long as reading so much takes.
pub(super) const HANDSHAKE_BYTES: usize = 256 * 1024;
/// How far the opening of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A proxy has to say whom it speaks for.
    Header,
    /// Somebody else must not.
    NoHeader,
    /// The rest is TLS.
    Handshake,
}

/// The opening of one connection.
pub struct Opening {
    step: Step,
    /// None: a plain connection from no proxy, whose sender is known; it may be silent as long as
    /// any other.
    deadline_ns: Option<u64>,
    /// Bytes that may be, or become, a header.
    held: Vec<u8>,
    /// Whether the handshake has begun.
    has_begun: bool,
}

impl Opening {
    /// The bytes of a sender that nobody has looked at, if they are frames.
    pub fn into_frames(self) -> Vec<u8> {
        if self.is_of_known_sender() { self.held } else { Vec::new() }
    }

    pub(super) fn is_handshake(&self) -> bool {
        self.step == Step::Handshake
    }

    /// Whether it is not known yet who sends.
    pub(super) fn awaits_header(&self) -> bool {
        self.step == Step::Header
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing has been read of the connection.
    pub(super) fn is_untouched(&self) -> bool {
        !self.is_handshake() && self.held.is_empty()
    }

    /// Whether only its first bytes are waited for, and nothing else holds it from being a
    /// connection like any other.
    pub(super) fn is_of_known_sender(&self) -> bool {
        self.deadline_ns.is_none()
    }

    pub(super) fn is_late(&self, now_ns: u64) -> bool {
        self.deadline_ns.is_some_and(|deadline_ns| deadline_ns < now_ns)
    }
}

impl Receiver {
    /// Sets a new connection to what its listener asks first.
    pub(super) fn begin_opening(&self, connection: &mut Connection) {
        let rules = &self.rules[connection.listener];
        let speaks_tls = self.certificates[connection.listener].is_some();
        let peer = connection.sender.peer.map(|peer| peer.ip());
        let step = match peer {
            Some(peer) if rules.proxies.contains(peer) => Step::Header,
            Some(_) if !rules.proxies.is_empty() => Step::NoHeader,
            _ if speaks_tls => Step::Handshake,
            _ => return,
        };
        let has_deadline = step == Step::Header || speaks_tls;
        let deadline_ns = self.now_ns.saturating_add(rules.opening_ns);
        let opening = Opening {
            step,
            deadline_ns: has_deadline.then_some(deadline_ns),
            held: Vec::new(),
            has_begun: false,
        };
        connection.opening = Some(Box::new(opening));
        if step == Step::Handshake {
            connection.tls = self.session(connection.listener, Vec::new());
        }
    }

    fn session(&self, listener: usize, incoming: Vec<u8>) -> Option<Box<TlsSession>> {
        let files = self.certificates[listener].as_ref()?;
        // The configuration was complete when it was loaded: nothing is left that can fail.
        TlsSession::new(files.current(), incoming).ok().map(Box::new)
    }

    /// Reads until it is known whether there is a header. Then gives what follows, as far as it
    /// was read and is no TLS; before, how the read went.
    pub(super) fn read_header(&mut self, place: usize) -> std::result::Result<Vec<u8>, Outcome> {
        let Some(connection) = self.connections.at(place) else { return Err(Outcome::Empty) };
        let Some(opening) = &mut connection.opening else { return Ok(Vec::new()) };
        let mut buffer = [0; HEADER_BYTES];
        let (length, is_end) = match socket::receive(&connection.socket, &mut buffer) {
            Received::Bytes(length) => (length, false),
            Received::Empty => return Err(Outcome::Empty),
            // A health check opens a connection and closes it.
            Received::Broken => return Err(Outcome::Broken),
            Received::End if opening.held.is_empty() => return Err(Outcome::End),
            Received::End => (0, true),
        };
        opening.held.extend_from_slice(&buffer[..length]);
        if opening.step == Step::NoHeader {
            match proxy_protocol::is_header(&opening.held) {
                Some(false) => {}
                None if is_end => {}
                None => return Err(Outcome::Read(length)),
                Some(true) => {
                    let words = "it sends a PROXY header and is none of the listener's proxies";
                    return Err(self.refuse_header(place, words));
                }
            }
        } else {
            match proxy_protocol::parse(&opening.held) {
                Parsed::Header { length, source } => {
                    opening.held.drain(..length);
                    if let (Some(source), Some(proxy)) = (source, connection.sender.peer) {
                        connection.sender.peer = Some(source);
                        connection.sender.identity = Some(proxy_identity(proxy).into());
                    }
                }
                Parsed::NeedMore if !is_end => return Err(Outcome::Read(length)),
                Parsed::NeedMore => {
                    return Err(self.refuse_header(place, "its PROXY header has no end"));
                }
                Parsed::Invalid(words) => return Err(self.refuse_header(place, words)),
            }
        }
        let held = std::mem::take(&mut opening.held);
        let listener = connection.listener;
        if opening.is_of_known_sender() {
            connection.opening = None;
            return Ok(held);
        }
        if self.certificates[listener].is_none() {
            return if self.established(place) { Ok(held) } else { Err(Outcome::Empty) };
        }
        opening.step = Step::Handshake;
        opening.has_begun = !held.is_empty();
        let session = self.session(listener, held);
        if let Some(connection) = self.connections.at(place) {
            connection.tls = session;
        }
        Ok(Vec::new())
    }

    /// Looks at how the handshake goes. True: it is over, and the client known.
    pub(super) fn advance_handshake(
        &mut self,
        place: usize,
        received: usize,
        end: Option<&std::result::Result<(), rustls::Error>>,
    ) -> bool {
        let Some(connection) = self.connections.at(place) else { return false };
        let (Some(opening), Some(tls)) = (&mut connection.opening, &connection.tls) else {
            return false;
        };
        opening.has_begun |= received > 0;
        let has_begun = opening.has_begun;
        if !tls.is_handshaking() {
            let tls = tls.identity();
            let identity = match &connection.sender.identity {
                Some(known) => format!("{known},{tls}"),
                None => tls,
            };
            connection.sender.identity = Some(identity.into());
            let index = self.listeners[connection.listener].config.index;
            add(self.region.listener(self.worker, index, cells::TLS_HANDSHAKES, 0), 1);
            return self.established(place);
        }
        match end {
            None => {}
            Some(Err(error)) => {
                self.fail_handshake(place, HandshakeFailure::of(error), &error.to_string());
            }
            Some(Ok(())) if has_begun => {
                self.fail_handshake(place, HandshakeFailure::Closed, "the client went away");
            }
            Some(Ok(())) => self.abandon(place),
        }
        false
    }

    fn fail_handshake(&mut self, place: usize, failure: HandshakeFailure, words: &str) {
        let Some(connection) = self.connections.at(place) else { return };
        let peer = connection.sender.peer;
        let index = self.listeners[connection.listener].config.index;
        let cell = cells::TLS_HANDSHAKES_FAILED;
        add(self.region.listener(self.worker, index, cell, failure as usize), 1);
        self.notices.add(index, failure.name(), peer, || format!("TLS handshake failed: {words}"));
        self.abandon(place);
    }

    /// Notes that a client broke the rules of TLS after its handshake.
    pub(super) fn note_tls_error(&mut self, place: usize, error: &rustls::Error) {
        let Some(connection) = self.connections.at(place) else { return };
        let peer = connection.sender.peer;
        let index = self.listeners[connection.listener].config.index;
        add(self.region.listener(self.worker, index, cells::TLS_ERRORS, 0), 1);
        self.notices.add(index, "tls_error", peer, || error.to_string());
    }

    fn refuse_header(&mut self, place: usize, words: &'static str) -> Outcome {
        self.turn_away(place, Refusal::ProxyHeader(words));
        Outcome::Empty
    }

    /// Closes a connection whose opening takes too long.
    pub(super) fn end_late_opening(&mut self, place: usize) {
        let Some(connection) = self.connections.at(place) else { return };
        if connection.opening.as_ref().is_some_and(|opening| opening.is_handshake()) {
            let words = "it was not over in time";
            self.fail_handshake(place, HandshakeFailure::Timeout, words);
        } else {
            self.turn_away(place, Refusal::OpeningTimeout);
        }
    }

    /// Has the epoll set report when a TLS connection can be written to, as long as it must be.
    pub(super) fn watch_for_writing(&mut self, place: usize) {
        let Some(Connection { socket, tls: Some(tls), .. }) = self.connections.at(place) else {
            return;
        };
        let writing = tls.wants_write();
        if writing != tls.is_watched_for_writing
            && self.epoll.watch_for_writing(socket.as_raw_fd(), place as u64, writing).is_ok()
        {
            tls.is_watched_for_writing = writing;
        }
    }
}

fn proxy_identity(proxy: SocketAddr) -> String {
    format!("\"proxy\":\"{proxy}\"")
}

/// Who opened a Unix connection, as members of a JSON object.
pub(super) fn unix_identity(connection: &std::os::fd::OwnedFd) -> Option<Arc<str>> {
    let (uid, pid) = socket::peer_credentials(connection)?;
    Some(format!("\"uid\":{uid},\"pid\":{pid}").into())
}
