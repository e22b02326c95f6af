//! What a listener is told: one for one the `ListenerSpec` of `ingest/contract.py`.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::Deserialize;

use crate::syslog::Unparsed;

/// What a listener speaks below its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Connections.
    Tcp,
    /// Datagrams with one or more frames.
    Udp,
    /// Connections with TLS.
    Tls,
    /// Connections of the same machine.
    UnixStream,
    /// Datagrams of the same machine.
    UnixDatagram,
}

impl Kind {
    /// Whether it has connections; otherwise datagrams.
    pub fn has_connections(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::UnixStream)
    }
}

/// What the frames of a listener are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Each is told by its first bytes.
    Auto,
    /// JSON objects.
    Json,
    /// Syslog messages.
    Syslog,
}

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They may; what they show has to be valid.
    Optional,
    /// They must.
    Required,
}

/// The lowest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// How a listener speaks TLS. Files are PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate, with its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients have to show one.
    pub client_auth: ClientAuth,
    /// The lowest version.
    pub minimum_version: TlsVersion,
}

/// What the senders of a listener are held to. None: no limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerLimits {
    /// The longest frame in bytes.
    pub line_bytes: usize,
    /// Connections of this listener over all workers.
    pub connections: Option<u32>,
    /// Connections of one address over all workers and listeners.
    pub source_connections: Option<u32>,
    /// A connection that has sent nothing for so long is closed.
    pub idle_seconds: Option<f64>,
    /// An incomplete frame may be so old.
    pub frame_seconds: Option<f64>,
    /// What comes before the first frame may take so long: PROXY header, TLS handshake.
    pub opening_seconds: f64,
    /// Events of one address over all workers.
    pub source_events_per_second: Option<u64>,
    /// Bytes of one address over all workers.
    pub source_bytes_per_second: Option<u64>,
}

/// One listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// Its index in the shared region.
    pub index: usize,
    /// Its name, as in the region.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Where it is bound, for people.
    pub address: String,
    /// The inherited socket; none: it is no longer bound, but its connections live on.
    pub descriptor: Option<RawFd>,
    /// What its frames are.
    pub format: Format,
    /// What becomes of those that are not.
    pub unparsed: Unparsed,
    /// The zone of timestamps that name none: `UTC`, an IANA name, or an offset.
    pub time_zone: String,
    /// Added to its events.
    pub labels: BTreeMap<String, String>,
    /// Networks (CIDR) that may send; empty: all.
    pub allow: Vec<String>,
    /// Networks that may not.
    pub deny: Vec<String>,
    /// Networks whose PROXY headers are believed, and required.
    pub proxies: Vec<String>,
    /// How it speaks TLS, if its kind says so.
    pub tls: Option<TlsConfig>,
    /// What its senders are held to.
    pub limits: ListenerLimits,
}
