//! The header that a load balancer puts before a connection to say who its true sender is: PROXY
//! protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`). Bytes in, meaning out.
//!
//! ```text
//! 1  PROXY TCP4|TCP6|UNKNOWN source destination source-port destination-port \r\n
//! 2  signature (12) · version, command (1) · family, transport (1) · length (2)
//!    source · destination · source port · destination port, then TLVs
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

const PREFIX: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of the version 1, with its line end.
const LINE_MAXIMUM: usize = 107;
/// Of the version 2, before the addresses.
const FIXED: usize = SIGNATURE.len() + 4;
const TLV_CHECKSUM: u8 = 3;
const CRC32C_POLYNOMIAL: u32 = 0x82f6_3b78;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// So far it is a header; its end has not come.
    NeedMore,
    /// A header.
    Header {
        /// Its bytes, behind which the sender's begin.
        length: usize,
        /// The true sender; none: the proxy speaks for itself, or does not know.
        source: Option<SocketAddr>,
    },
    /// No header, or one that breaks the rules; in words.
    Invalid(&'static str),
}

/// Reads the header at the beginning of a connection.
pub fn parse(bytes: &[u8]) -> Parsed {
    if is_prefix(bytes, SIGNATURE) || is_prefix(bytes, PREFIX) {
        Parsed::NeedMore
    } else if bytes.starts_with(SIGNATURE) {
        binary(bytes)
    } else if bytes.starts_with(PREFIX) {
        line(bytes)
    } else {
        Parsed::Invalid("it begins with no PROXY header")
    }
}

/// Whether a connection that must not begin with a header does so; none: more bytes will tell.
pub fn is_header(bytes: &[u8]) -> Option<bool> {
    let beginnings = [SIGNATURE, b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];
    if beginnings.iter().any(|beginning| is_prefix(bytes, beginning)) {
        return None;
    }
    Some(beginnings.iter().any(|beginning| bytes.starts_with(beginning)))
}

/// Whether the bytes are the beginning of `whole` and not all of it.
fn is_prefix(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.len() < whole.len() && whole.starts_with(bytes)
}

fn line(bytes: &[u8]) -> Parsed {
    let bytes = &bytes[..bytes.len().min(LINE_MAXIMUM)];
    let Some(end) = memchr::memmem::find(bytes, b"\r\n") else {
        return match bytes.len() {
            LINE_MAXIMUM => Parsed::Invalid("its PROXY header has no end"),
            _ => Parsed::NeedMore,
        };
    };
    let length = end + 2;
    let text = std::str::from_utf8(&bytes[PREFIX.len()..end]).unwrap_or_default();
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Parsed::Header { length, source: None };
    }
    match source_of_line(text) {
        Some(source) => Parsed::Header { length, source: Some(source) },
        None => Parsed::Invalid("its PROXY header names no addresses"),
    }
}

fn source_of_line(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (family, source, destination) = (next()?, next()?, next()?);
    let (source_port, destination_port) = (port(next()?)?, next()?);
    let source = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.to_canonical()
        }
        _ => return None,
    };
    port(destination_port)?;
    next().is_none().then_some(SocketAddr::new(source, source_port))
}

/// A decimal number without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_plain)
}

fn binary(bytes: &[u8]) -> Parsed {
    if bytes.len() < FIXED {
        return Parsed::NeedMore;
    }
    let (command, family) = (bytes[SIGNATURE.len()], bytes[SIGNATURE.len() + 1]);
    if !matches!(command, 0x20 | 0x21) {
        return Parsed::Invalid("its PROXY header has another version or command");
    }
    let length = FIXED + usize::from(u16::from_be_bytes([bytes[FIXED - 2], bytes[FIXED - 1]]));
    let Some(header) = bytes.get(..length) else { return Parsed::NeedMore };
    if command == 0x20 {
        return Parsed::Header { length, source: None };
    }
    match source_of_binary(&header[FIXED..], family) {
        Some((source, addresses)) if has_good_tlvs(header, FIXED + addresses) => {
            Parsed::Header { length, source }
        }
        Some(_) => Parsed::Invalid("its PROXY header has broken extensions"),
        None => Parsed::Invalid("its PROXY header has another family or lacks addresses"),
    }
}

/// The source, and how many bytes all addresses take.
fn source_of_binary(bytes: &[u8], family: u8) -> Option<(Option<SocketAddr>, usize)> {
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    match family {
        // Unknown, with any transport.
        0x00..=0x02 => Some((None, 0)),
        0x11 | 0x12 if bytes.len() >= 12 => {
            let source: [u8; 4] = bytes[..4].try_into().ok()?;
            Some((Some(SocketAddr::new(source.into(), port(8))), 12))
        }
        0x21 | 0x22 if bytes.len() >= 36 => {
            let source: [u8; 16] = bytes[..16].try_into().ok()?;
            let source = Ipv6Addr::from(source).to_canonical();
            Some((Some(SocketAddr::new(source, port(32))), 36))
        }
        // A socket of the proxy's machine: two paths.
        0x31 | 0x32 if bytes.len() >= 216 => Some((None, 216)),
        _ => None,
    }
}

/// Whether the extensions from `at` on fill the header, and its checksum, if it has one, holds.
fn has_good_tlvs(header: &[u8], mut at: usize) -> bool {
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else { return false };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let Some(found) = header.get(value.clone()) else { return false };
        if kind == TLV_CHECKSUM {
            let zeroed = header[..value.start].iter().chain(&[0; 4]).chain(&header[value.end..]);
            if found != crc32c(zeroed).to_be_bytes() {
                return false;
            }
        }
        at = value.end;
    }
    true
}

fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (CRC32C_POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    fn ipv4(tlvs: &[u8]) -> Vec<u8> {
        let addresses = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x02, 0x02];
        version_2(0x21, 0x11, &[&addresses[..], tlvs].concat())
    }

    fn good(bytes: &[u8]) -> Option<SocketAddr> {
        match parse(bytes) {
            Parsed::Header { length, source } if length == bytes.len() => source,
            other => panic!("{other:?} of {bytes:?}"),
        }
    }

    /// Both versions and families, and those that speak for nobody.
    #[test]
    fn the_true_sender_is_read() {
        let four = Some("192.0.2.7:12345".parse().unwrap());
        let six = Some("[2001:db8::7]:0".parse().unwrap());
        assert_eq!(good(b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 514\r\n"), four);
        assert_eq!(good(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), six);
        assert_eq!(good(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 12345 514\r\n"), four);
        assert_eq!(good(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(good(b"PROXY UNKNOWN ffff::1 whatever\r\n"), None);
        assert_eq!(good(&ipv4(b"")), four);
        assert_eq!(good(&ipv4(b"\x04\x00\x00\xea\x00\x02ab")), four);
        let mut body = Vec::from("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        body.extend_from_slice(&[0; 20]);
        assert_eq!(good(&version_2(0x21, 0x21, &body)), six);
        assert_eq!(good(&version_2(0x20, 0x11, b"")), None);
        assert_eq!(good(&version_2(0x21, 0x00, b"\x04\x00\x00")), None);
        assert_eq!(good(&version_2(0x21, 0x31, &[0; 216])), None);
    }

    /// What breaks the rules is refused, and not waited for.
    #[test]
    fn what_breaks_the_rules_is_refused() {
        let lines: [&[u8]; 12] = [
            b"{\"a\":1}",
            b"\r\n\r\n\0\r\nQUIX",
            b"PROXY\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 514 1\r\n",
            b"PROXY TCP4 192.0.2.7  10.0.0.1 12345 514\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 514\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 012 514\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +12 514\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            b"PROXY UNKNOWNS\r\n",
            &[&b"PROXY UNKNOWN "[..], &[b'x'; LINE_MAXIMUM]].concat(),
        ];
        let headers = [
            version_2(0x11, 0x11, &[0; 12]),
            version_2(0x22, 0x11, &[0; 12]),
            version_2(0x21, 0x11, &[0; 11]),
            version_2(0x21, 0x21, &[0; 35]),
            version_2(0x21, 0x31, &[0; 215]),
            version_2(0x21, 0x41, &[0; 216]),
            ipv4(b"\x04\x00"),
            ipv4(b"\x04\x00\x02a"),
            ipv4(b"\x03\x00\x04abcd"),
            ipv4(b"\x03\x00\x01a"),
        ];
        for bytes in lines.into_iter().chain(headers.iter().map(Vec::as_slice)) {
            assert!(matches!(parse(bytes), Parsed::Invalid(_)), "{bytes:?}");
        }
    }

    /// The checksum is that of RFC 3720, over the header with zeros in its place.
    #[test]
    fn a_checksum_has_to_hold() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        let mut header = ipv4(b"\x03\x00\x04\0\0\0\0\x04\x00\x01x");
        let checksum = crc32c(header.iter()).to_be_bytes();
        let place = FIXED + 12 + 3;
        header[place..place + 4].copy_from_slice(&checksum);
        assert!(good(&header).is_some());
        *header.last_mut().unwrap() = b'y';
        assert!(matches!(parse(&header), Parsed::Invalid(_)));
    }

    /// Of one who may not send a header, exactly the beginnings of headers are found.
    #[test]
    fn headers_of_strangers_are_found() {
        for (bytes, expected) in [
            (&b"PROXY TCP4 "[..], Some(true)),
            (b"PROXY UNKNOWN\r\n", Some(true)),
            (b"PROXY TCP", None),
            (b"PROXY started", Some(false)),
            (b"", None),
            (b"\r\n\r\n", None),
            (b"\r\n\r\n{", Some(false)),
            (b"<34>1 ", Some(false)),
        ] {
            assert_eq!(is_header(bytes), expected, "{bytes:?}");
        }
        assert_eq!(is_header(&ipv4(b"")), Some(true));
    }

    proptest! {
        /// However a header is cut, nothing is decided before its end and it never panics.
        #[test]
        fn cuts_do_not_matter(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            kind in 0usize..4, cut in 0usize..400,
        ) {
            let header: &[u8] = match kind {
                0 => b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 514\r\n",
                1 => b"PROXY UNKNOWN\r\n",
                2 => &ipv4(b"\x04\x00\x05abcde"),
                _ => &version_2(0x20, 0, b"abc"),
            };
            let stream = [header, &noise].concat();
            let cut = cut.min(stream.len());
            let whole = parse(&stream);
            let is_found =
                matches!(whole, Parsed::Header { length, .. } if length == header.len());
            prop_assert!(is_found, "{:?}", whole);
            let expected = if cut < header.len() { Parsed::NeedMore } else { whole };
            prop_assert_eq!(parse(&stream[..cut]), expected);
        }

        /// Noise behind a beginning gives an answer too.
        #[test]
        fn noise_is_answered(
            beginning in prop::sample::select(vec![
                &b""[..], PREFIX, b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10",
            ]),
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let stream = [beginning, &noise].concat();
            if let Parsed::Header { length, .. } = parse(&stream) {
                prop_assert!(length <= stream.len());
            }
            let _ = is_header(&stream);
        }
    }
}
