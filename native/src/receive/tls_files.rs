//! The certificates of a listener: read from files when the worker starts, and again when the
//! files change. What does not load never takes the place of what does.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::config::{ClientAuth, TlsConfig, TlsVersion};
use crate::error::{Error, Result};

/// What of a file changes when it is written or replaced: device, inode, size, modification time.
type Fingerprint = Option<(u64, u64, u64, i64, i64)>;

/// The files of a listener, and what they held when they were last good.
pub struct TlsFiles {
    config: TlsConfig,
    current: Arc<ServerConfig>,
    /// Of what was last loaded, good or not.
    loaded: Vec<Fingerprint>,
    /// Of the last look.
    seen: Vec<Fingerprint>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the file and what is wrong with it.
    pub fn open(config: &TlsConfig) -> Result<Self> {
        let loaded = fingerprints(config);
        let current = load(config)?;
        Ok(Self { config: config.clone(), current, seen: loaded.clone(), loaded })
    }

    /// What new connections are served with.
    pub fn current(&self) -> &Arc<ServerConfig> {
        &self.current
    }

    /// Looks at the files and reads them anew once they have changed and, so that a key and its
    /// certificate can be replaced one after the other, look the same twice. None: nothing to do.
    ///
    /// # Errors
    /// As for [`Self::open`]; the former certificates stay in use.
    pub fn refresh(&mut self) -> Option<Result<()>> {
        let found = fingerprints(&self.config);
        let is_settled = found == self.seen;
        self.seen = found;
        if !is_settled || self.seen == self.loaded {
            return None;
        }
        self.loaded.clone_from(&self.seen);
        Some(load(&self.config).map(|current| self.current = current))
    }
}

fn fingerprints(config: &TlsConfig) -> Vec<Fingerprint> {
    let files = [&config.certificate, &config.key].into_iter().chain(&config.client_ca);
    let fingerprint = |path| {
        let of = std::fs::metadata(path).ok()?;
        Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec()))
    };
    files.map(fingerprint).collect()
}

/// Whether a server could be started with these files.
///
/// # Errors
/// [`Error::Invalid`] naming the file and what is wrong with it.
pub fn check(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<()> {
    let client_auth = client_ca.map_or(ClientAuth::None, |_| ClientAuth::Required);
    load(&TlsConfig {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        client_ca: client_ca.map(Path::to_owned),
        client_auth,
        minimum_version: TlsVersion::V1_2,
    })
    .map(drop)
}

static ALL_VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

fn load(config: &TlsConfig) -> Result<Arc<ServerConfig>> {
    let versions = match config.minimum_version {
        TlsVersion::V1_2 => &ALL_VERSIONS[..],
        TlsVersion::V1_3 => &ALL_VERSIONS[..1],
    };
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| invalid(&config.key, "private key", error))?;
    let mut loaded = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| Error::Invalid(error.to_string()))?
        .with_client_cert_verifier(verifier(config)?)
        .with_single_cert(certificates(&config.certificate)?, key)
        .map_err(|error| {
            let key = format!("certificate for {}", config.key.display());
            invalid(&config.certificate, &key, error)
        })?;
    // Nothing is resumed: a client is verified each time it connects, with the files of then.
    loaded.session_storage = Arc::new(NoServerSessionStorage {});
    loaded.send_tls13_tickets = 0;
    Ok(Arc::new(loaded))
}

fn verifier(config: &TlsConfig) -> Result<Arc<dyn ClientCertVerifier>> {
    if config.client_auth == ClientAuth::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let Some(path) = &config.client_ca else {
        return Err(Error::Invalid("client_auth without client_ca".into()));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| invalid(path, "certificate", error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match config.client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::None | ClientAuth::Required => builder,
    };
    builder.build().map_err(|error| invalid(path, "certificates", error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |error| invalid(path, "certificate", error);
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(wrong)?
        .collect::<std::result::Result<_, _>>()
        .map_err(wrong)?;
    if found.is_empty() {
        return Err(Error::Invalid(format!("{}: no certificate in it", path.display())));
    }
    Ok(found)
}

fn invalid(path: &Path, what: &str, error: impl Display) -> Error {
    Error::Invalid(format!("{}: no usable {what}: {error}", path.display()))
}
