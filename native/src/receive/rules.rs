//! What a listener holds its senders to, made ready from its configuration.

use std::net::SocketAddr;

use super::config::ListenerConfig;
use super::networks::Networks;
use crate::counters::Rates;
use crate::error::Result;

/// A time that never comes.
const NEVER_NS: u64 = u64::MAX;

pub(super) struct Rules {
    allow: Networks,
    deny: Networks,
    pub(super) proxies: Networks,
    pub(super) connections: Option<u32>,
    pub(super) source_connections: Option<u32>,
    pub(super) idle_ns: u64,
    pub(super) frame_ns: u64,
    pub(super) opening_ns: u64,
    pub(super) rates: Rates,
}

impl Rules {
    pub(super) fn new(config: &ListenerConfig) -> Result<Self> {
        let limits = &config.limits;
        Ok(Self {
            allow: Networks::parse(&config.allow)?,
            deny: Networks::parse(&config.deny)?,
            proxies: Networks::parse(&config.proxies)?,
            connections: limits.connections,
            source_connections: limits.source_connections,
            idle_ns: limits.idle_seconds.map_or(NEVER_NS, nanoseconds),
            frame_ns: limits.frame_seconds.map_or(NEVER_NS, nanoseconds),
            opening_ns: nanoseconds(limits.opening_seconds),
            rates: Rates {
                events: limits.source_events_per_second,
                bytes: limits.source_bytes_per_second,
            },
        })
    }

    /// Whether a sender may send. One of the same machine has no address and always may; so may
    /// a trusted proxy, which speaks for others.
    pub(super) fn admits(&self, peer: Option<SocketAddr>) -> bool {
        let Some(address) = peer.map(|peer| peer.ip()) else { return true };
        let is_denied =
            self.deny.contains(address) || !(self.allow.is_empty() || self.allow.contains(address));
        !is_denied || self.proxies.contains(address)
    }

    /// Whether any datagram may have to be dropped.
    pub(super) fn guard_datagrams(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty() || self.rates.is_limited()
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    // Saturates: what is too much for it never comes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let nanoseconds = (seconds * 1e9) as u64;
    nanoseconds
}
