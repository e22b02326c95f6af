//! Who a TLS client is, as members of `diagnostics.ingest`. All texts are the client's own words
//! that its issuer has signed: they are escaped, and bounded in number and size.

use std::net::IpAddr;

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::text::write_string;

/// A longer text is cut.
const TEXT_BYTES: usize = 512;
/// Once it is so long, the other alternative names are left out: each event carries it.
const IDENTITY_BYTES: usize = 4096;

/// `"tls":{"version":…,"subject":…,"san":[…]}`; without certificate only the version.
pub fn identity(
    version: Option<ProtocolVersion>,
    certificate: Option<&CertificateDer<'_>>,
) -> String {
    let mut out = b"\"tls\":{\"version\":".to_vec();
    let version = match version {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    write_string(version, &mut out);
    // What the verifier has accepted and this parser has not is a client without a name.
    if let Some(parsed) = certificate.and_then(|bytes| Certificate::from_der(bytes).ok()) {
        let parsed = parsed.tbs_certificate();
        out.extend_from_slice(b",\"subject\":");
        write_string(bounded(&parsed.subject().to_string()), &mut out);
        out.extend_from_slice(b",\"san\":[");
        let names = parsed.get_extension::<SubjectAltName>().ok().flatten();
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        for (at, name) in names.iter().filter_map(text).enumerate() {
            if out.len() >= IDENTITY_BYTES {
                break;
            }
            if at > 0 {
                out.push(b',');
            }
            write_string(bounded(&name), &mut out);
        }
        out.push(b']');
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(format!("DNS:{name}")),
        GeneralName::Rfc822Name(name) => Some(format!("EMAIL:{name}")),
        GeneralName::UniformResourceIdentifier(name) => Some(format!("URI:{name}")),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|ip| format!("IP:{ip}")),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let of_4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    of_4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn bounded(text: &str) -> &str {
    let ends = (0..=text.len().min(TEXT_BYTES)).rev();
    &text[..ends.into_iter().find(|end| text.is_char_boundary(*end)).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    /// A certificate full of long and strange names makes JSON of a bounded size.
    #[test]
    fn names_are_bounded() {
        let names = |at: usize| format!("{}{at}.example", "\u{1}\"".repeat(150));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = (0..500)
            .map(|at| rcgen::SanType::URI(names(at).as_str().try_into().unwrap()))
            .collect();
        params.distinguished_name.push(DnType::CommonName, "\u{e9}\"\n".repeat(1000));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let identity = identity(Some(ProtocolVersion::TLSv1_3), Some(certificate.der()));
        assert!((1000..8000).contains(&identity.len()), "{}", identity.len());
        let parsed: serde_json::Value = serde_json::from_str(&format!("{{{identity}}}")).unwrap();
        assert!(parsed["tls"]["subject"].as_str().unwrap().starts_with("CN=\u{e9}\\\"\\0a"));
        assert!(parsed["tls"]["san"].as_array().unwrap().len() > 1);
    }
}
