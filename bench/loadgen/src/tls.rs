//! TLS on the client's side: rustls over a socket that does not block.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::stream;

/// The longest that a server may leave the handshake without an answer.
const HANDSHAKE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(1);

/// Whom to trust and as whom to appear.
pub struct Files {
    /// PEM of the authority that signed the server's certificate; none trusts every server.
    pub authority: Option<PathBuf>,
    /// PEM files of the client's certificate and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Reads the files into a configuration that all streams share.
pub fn configure(files: &Files) -> Result<Arc<ClientConfig>, Box<dyn std::error::Error>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match &files.authority {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustEveryServer { provider })),
    };
    let config = match &files.identity {
        Some((certificate, key)) => builder.with_client_auth_cert(
            certificates(certificate)?,
            PrivateKeyDer::from_pem_file(key)?,
        )?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// One encrypted stream.
pub struct TlsStream {
    socket: TcpStream,
    session: ClientConnection,
}

impl TlsStream {
    /// Connects and shakes hands; blocks for it.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = stream::connect(address)?;
        socket.set_read_timeout(Some(HANDSHAKE))?;
        socket.set_write_timeout(Some(HANDSHAKE))?;
        let name = ServerName::from(address.ip());
        let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|error| {
                io::Error::new(error.kind(), format!("the TLS handshake failed: {error}"))
            })?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpStream::from_std(socket), session })
    }

    /// What readiness is asked of.
    pub fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Encrypts bytes once all that was encrypted before is with the kernel.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Reads what the server says; 0 once it has closed.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Sends what is encrypted and that nothing follows it; waits at most so long.
    pub fn finish(&mut self, patience: Duration) -> io::Result<()> {
        self.session.send_close_notify();
        let deadline = Instant::now() + patience;
        loop {
            match self.flush() {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    std::thread::sleep(RETRY);
                }
                Err(error) => return Err(error),
                Ok(()) => return self.socket.shutdown(Shutdown::Write),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// Load is to be made, whoever takes it.
#[derive(Debug)]
struct TrustEveryServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustEveryServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
