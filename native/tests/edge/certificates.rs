//! Certificates for a test, made in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use _native::receive::check_tls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, as PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for a server or a client.
    pub fn issue(
        &self,
        common_name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// The files of a listener in a directory of their own.
pub struct Files {
    pub directory: PathBuf,
    pub authority: Authority,
}

impl Files {
    pub fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("ingest-edge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let files = Self { directory, authority: Authority::new() };
        std::fs::write(files.path("ca.pem"), &files.authority.pem).unwrap();
        files.install(&files.authority.issue("server", |_| ()));
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes it the certificate of the server.
    pub fn install(&self, identity: &Identity) {
        std::fs::write(self.path("server.pem"), &identity.certificate).unwrap();
        std::fs::write(self.path("server.key"), &identity.key).unwrap();
    }

    /// What a listener is told of them.
    pub fn config(&self, client_auth: &str, minimum_version: &str) -> Value {
        json!({"tls": {
            "certificate": self.path("server.pem"), "key": self.path("server.key"),
            "client_ca": (client_auth != "none").then(|| self.path("ca.pem")),
            "client_auth": client_auth, "minimum_version": minimum_version,
        }})
    }

    /// A client that trusts this authority.
    pub fn client(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Files that no server can be started with are refused with the name of the file.
#[test]
fn files_that_are_of_no_use_are_refused() {
    let files = Files::new("check");
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    let ca = files.path("ca.pem");
    check_tls(&certificate, &key, None).unwrap();
    check_tls(&certificate, &key, Some(&ca)).unwrap();
    let other = files.authority.issue("other", |_| ());
    std::fs::write(files.path("other.key"), other.key).unwrap();
    std::fs::write(files.path("empty"), "").unwrap();
    let (other, empty) = (files.path("other.key"), files.path("empty"));
    let missing = files.path("missing");
    let cases: [(&Path, &Path, Option<&Path>, &Path); 7] = [
        (&missing, &key, None, &missing),
        (&certificate, &missing, None, &missing),
        (&empty, &key, None, &empty),
        (&key, &key, None, &key),
        (&certificate, &certificate, None, &certificate),
        (&certificate, &other, None, &other),
        (&certificate, &key, Some(&empty), &empty),
    ];
    for (certificate, key, client_ca, named) in cases {
        let error = check_tls(certificate, key, client_ca).unwrap_err().to_string();
        assert!(error.contains(named.to_str().unwrap()), "{error}");
    }
}
