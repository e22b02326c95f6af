//! Why a TLS handshake came to nothing, as the metrics count it.

use rustls::{CertificateError, Error, InvalidMessage};

use crate::counters::HANDSHAKE_FAILURES;

/// The places of [`HANDSHAKE_FAILURES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// What came is no TLS.
    PlainText,
    /// A client that had to show a certificate did not.
    NoCertificate,
    /// It is no longer valid, or not yet.
    ExpiredCertificate,
    /// It is signed by another authority, or broken, or not for clients.
    BadCertificate,
    /// The client does not want to go on: often it does not trust our certificate.
    RefusedByClient,
    /// No common version or cipher, or a message against the rules.
    Protocol,
    /// The deadline has passed.
    Timeout,
    /// The client went away in the middle of it.
    Closed,
}

impl HandshakeFailure {
    /// The reason that an error of rustls stands for.
    pub fn of(error: &Error) -> Self {
        use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::PlainText,
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
            ) => Self::ExpiredCertificate,
            Error::InvalidCertificate(_) => Self::BadCertificate,
            Error::AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Protocol,
        }
    }

    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        HANDSHAKE_FAILURES[self as usize]
    }
}
