//! One TLS connection: bytes of the socket in, bytes of the sender out. It keeps no more of them
//! than the beginning of a record, or of a handshake message, whose end has not come.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, ServerConfig};

use super::socket::{self, Received};
use super::tls_identity;

/// No record with its header is longer, and no handshake message that rustls takes.
const INCOMING_MAXIMUM: usize = 96 * 1024;
/// What may wait to be sent to a client that does not read.
const OUTGOING_MAXIMUM: usize = 256 * 1024;
/// An incomplete record of more than this is not kept allocated for the next one.
const KEPT_CAPACITY: usize = 4096;

/// What one read of a connection gave.
pub struct TlsRead {
    /// Bytes read from the socket.
    pub received: usize,
    /// Bytes of the sender that are in the buffer now.
    pub decrypted: usize,
    /// Whether nothing more will come, and why if that is an error.
    pub end: Option<Result<(), Error>>,
    /// Whether the connection broke.
    pub is_reset: bool,
}

/// The state of one connection.
pub struct TlsSession {
    connection: UnbufferedServerConnection,
    /// Received and not yet processed.
    incoming: Vec<u8>,
    /// What the client has still to be sent.
    outgoing: Vec<u8>,
    /// Whether it has met an error, and nothing more may be processed.
    is_broken: bool,
    /// Whether the epoll set reports when it can be sent.
    pub is_watched_for_writing: bool,
}

impl TlsSession {
    /// Begins a handshake with what was already received.
    ///
    /// # Errors
    /// What rustls finds wrong with the configuration.
    pub fn new(config: &Arc<ServerConfig>, incoming: Vec<u8>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            incoming,
            outgoing: Vec::new(),
            is_broken: false,
            is_watched_for_writing: false,
        })
    }

    /// Whether the client is not yet known.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What it keeps of a record, or of a handshake message, whose end has not come.
    pub fn held_bytes(&self) -> usize {
        self.incoming.len()
    }

    /// Whether something waits until the client reads.
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The client as members of a JSON object, once the handshake is over.
    pub fn identity(&self) -> String {
        let chain = self.connection.peer_certificates();
        let certificate = chain.and_then(<[_]>::first);
        tls_identity::identity(self.connection.protocol_version(), certificate)
    }

    /// Reads once, by way of `scratch`, which holds more than [`INCOMING_MAXIMUM`]; what the
    /// client sent comes into `buffer`, which is no smaller.
    pub fn read(&mut self, socket: &OwnedFd, scratch: &mut [u8], buffer: &mut [u8]) -> TlsRead {
        let held = self.incoming.len();
        scratch[..held].copy_from_slice(&self.incoming);
        let (received, is_end, is_reset) = match socket::receive(socket, &mut scratch[held..]) {
            Received::Bytes(received) => (received, false, false),
            Received::Empty => (0, false, false),
            Received::End => (0, true, false),
            Received::Broken => (0, true, true),
        };
        let bytes = &mut scratch[..held + received];
        let (processed, decrypted, mut end) = self.process(bytes, buffer);
        self.keep(&bytes[processed..]);
        let is_beyond_bounds =
            self.incoming.len() > INCOMING_MAXIMUM || self.outgoing.len() > OUTGOING_MAXIMUM;
        if is_beyond_bounds && end.is_none() {
            self.is_broken = true;
            end = Some(Err(Error::General("it sends too much and reads too little".into())));
        }
        self.flush(socket);
        // A connection that ends without being closed in order ends as one without TLS.
        TlsRead { received, decrypted, end: end.or(is_end.then_some(Ok(()))), is_reset }
    }

    fn keep(&mut self, rest: &[u8]) {
        self.incoming.clear();
        if rest.is_empty() && self.incoming.capacity() > KEPT_CAPACITY {
            self.incoming = Vec::new();
        }
        self.incoming.extend_from_slice(rest);
    }

    /// Returns how many bytes are done with, how many came out, and whether it was the end.
    fn process(
        &mut self,
        bytes: &mut [u8],
        buffer: &mut [u8],
    ) -> (usize, usize, Option<Result<(), Error>>) {
        let (mut processed, mut decrypted) = (0, 0);
        let end = loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut bytes[processed..]);
            processed += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        processed += record.discard;
                        let end = decrypted + record.payload.len();
                        buffer[decrypted..end].copy_from_slice(record.payload);
                        decrypted = end;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.outgoing);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => break Some(Ok(())),
                // Until something comes. Early data is refused, as it is not configured.
                Ok(_) => break None,
                Err(error) => {
                    self.is_broken = true;
                    self.take_alerts(&mut bytes[processed..]);
                    break Some(Err(error));
                }
            }
        };
        (processed, decrypted, end)
    }

    /// Takes what is still to be sent to the client, and nothing of what it has sent.
    fn take_alerts(&mut self, rest: &mut [u8]) {
        while self.connection.wants_write() {
            let state = self.connection.process_tls_records(rest).state;
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            encode(&mut data, &mut self.outgoing);
        }
    }

    /// Tells the client that nothing more comes from here, as far as it reads.
    pub fn close(&mut self, socket: &OwnedFd) {
        // Positions within what is kept are remembered, so that it has to be given again.
        if !self.is_broken
            && !self.is_handshaking()
            && let Ok(ConnectionState::WriteTraffic(mut traffic)) =
                self.connection.process_tls_records(&mut self.incoming).state
        {
            let start = self.outgoing.len();
            self.outgoing.resize(start + CLOSE_NOTIFY_MAXIMUM, 0);
            let written = traffic.queue_close_notify(&mut self.outgoing[start..]).unwrap_or(0);
            self.outgoing.truncate(start + written);
        }
        self.flush(socket);
    }

    fn flush(&mut self, socket: &OwnedFd) {
        if self.outgoing.is_empty() {
            return;
        }
        let sent = socket::send(socket, &self.outgoing);
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }
}

/// A record with an alert in it, encrypted.
const CLOSE_NOTIFY_MAXIMUM: usize = 128;

fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    // It says how much it needs before it gives it.
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        let start = outgoing.len();
        outgoing.resize(start + needed.required_size, 0);
        let written = data.encode(&mut outgoing[start..]).unwrap_or(0);
        outgoing.truncate(start + written);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;
    use rustls::crypto::ring;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// A server, and clients of both versions; some of them spread a message over many records.
    fn configs() -> (Arc<ServerConfig>, [Arc<ClientConfig>; 4]) {
        let provider = || Arc::new(ring::default_provider());
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = |version, max_fragment_size| {
            let mut client = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            client.max_fragment_size = max_fragment_size;
            Arc::new(client)
        };
        let clients = [(&TLS12, None), (&TLS13, None), (&TLS12, Some(40)), (&TLS13, Some(40))];
        (Arc::new(server), clients.map(|(version, size)| client(version, size)))
    }

    /// What a client sends until the session ends, with one byte changed by `flip` at `place`, and
    /// cut into pieces; what came out and how many bytes the session held at most.
    fn converse(
        server: &Arc<ServerConfig>,
        client: &Arc<ClientConfig>,
        text: &[u8],
        (place, flip): (usize, u8),
        cut: usize,
    ) -> (Vec<u8>, usize) {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
        client.set_buffer_limit(None);
        client.writer().write_all(text).unwrap();
        let (mut far, near) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        near.set_nonblocking(true).unwrap();
        let near = OwnedFd::from(near);
        let mut session = TlsSession::new(server, Vec::new()).unwrap();
        let (mut scratch, mut buffer) = (vec![0; 1 << 18], vec![0; 1 << 18]);
        let (mut found, mut sent, mut held) = (Vec::new(), 0, 0);
        while client.wants_write() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            if let Some(byte) = place.checked_sub(sent).and_then(|at| bytes.get_mut(at)) {
                *byte ^= flip;
            }
            sent += bytes.len();
            for piece in bytes.chunks(cut) {
                far.write_all(piece).unwrap();
                let read = session.read(&near, &mut scratch, &mut buffer);
                found.extend_from_slice(&buffer[..read.decrypted]);
                held = held.max(session.incoming.len());
                if read.end.is_some() {
                    session.close(&near);
                    return (found, held);
                }
            }
            while client.read_tls(&mut far).is_ok_and(|count| count > 0) {
                if client.process_new_packets().is_err() {
                    break;
                }
            }
        }
        session.close(&near);
        (found, held)
    }

    /// However the stream is cut, what comes out is what was sent; with one byte changed anywhere
    /// it is at most its beginning, and nothing panics. No more than one record is held.
    #[test]
    fn broken_streams_end_and_never_lie() {
        let (server, clients) = configs();
        let flip = prop_oneof![Just(0), any::<u8>()];
        let strategy = (0..6_000usize, flip, 1..3_000usize, 0..4usize, 0..5_000usize);
        let mut runner = proptest::test_runner::TestRunner::default();
        runner
            .run(&strategy, |(place, flip, cut, client, length)| {
                let text: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
                let (found, held) = converse(&server, &clients[client], &text, (place, flip), cut);
                prop_assert!(text.starts_with(&found));
                prop_assert!(flip > 0 || found == text);
                prop_assert!(held <= INCOMING_MAXIMUM);
                Ok(())
            })
            .unwrap();
    }
}
