//! Sets of networks, as in `allow`, `deny` and `proxies`: `10.0.0.0/8`, `2001:db8::/32`, or a
//! single address. An IPv4 address is the same whether it comes as such or mapped into IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{Error, Result};

/// A set of addresses. Asking costs the logarithm of how many networks there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last address of each, in order; none lies within another.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Networks {
    /// Reads networks in CIDR notation; a bare address is a network of its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the text that is no network, or has bits behind its prefix.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut ranges: Vec<(IpAddr, IpAddr)> = texts
            .iter()
            .map(|text| {
                range(text).ok_or_else(|| Error::Invalid(format!("{text:?} is no network")))
            })
            .collect::<Result<_>>()?;
        // Two networks are either apart or one in the other: the larger one comes first then.
        ranges.sort_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
        ranges.dedup_by(|next, kept| next.1 <= kept.1);
        Ok(Self { ranges })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether one of the networks holds the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let at = self.ranges.partition_point(|(_, last)| *last < address);
        self.ranges.get(at).is_some_and(|(first, _)| *first <= address)
    }
}

/// The first and the last address of a network.
fn range(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        // `parse` would take a sign.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None => width,
    };
    let host_bits = u32::checked_sub(width, length)?;
    let hosts = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
    let (first, last) = match address {
        IpAddr::V4(first) => {
            let first = u32::from(first);
            let last = u128::from(first) | hosts;
            (u128::from(first), Ipv4Addr::from(u32::try_from(last).ok()?).into())
        }
        IpAddr::V6(first) => (u128::from(first), Ipv6Addr::from(u128::from(first) | hosts).into()),
    };
    // What is mapped into IPv6 is asked for as IPv4; a wider network holds IPv6 alone.
    let canonical = (address.to_canonical(), IpAddr::to_canonical(&last));
    let is_one_family = canonical.0.is_ipv4() == canonical.1.is_ipv4();
    (first & hosts == 0).then_some(if is_one_family { canonical } else { (address, last) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Both families, bare addresses and mapped ones; a network of one holds none of the other.
    #[test]
    fn addresses_are_found_in_their_networks() {
        let some = networks(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
        for inside in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "192.0.2.7", "::1"] {
            assert!(some.contains(address(inside)), "{inside}");
        }
        assert!(some.contains(address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")));
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.8", "2001:db9::", "::2", "::a00:1"] {
            assert!(!some.contains(address(outside)), "{outside}");
        }
        let mapped = networks(&["::ffff:10.0.0.0/104"]);
        assert!(mapped.contains(address("10.9.9.9")) && !mapped.contains(address("11.0.0.0")));
        let all_of_ipv6 = networks(&["::/0"]);
        assert!(all_of_ipv6.contains(address("fe80::1")));
        assert!(!all_of_ipv6.contains(address("10.0.0.1")));
        assert!(networks(&["0.0.0.0/0"]).contains(address("255.255.255.255")));
        assert!(!networks(&[]).contains(address("10.0.0.1")));
    }

    /// What is no network is an error that names it.
    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "::/129",
            "::1/64",
            "localhost",
            "10.0.0.0/99999999999",
        ] {
            let error = Networks::parse(&[text.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    proptest! {
        /// Any set of networks, nested ones too, holds what one of them holds.
        #[test]
        fn a_set_holds_what_one_of_its_networks_holds(
            parts in prop::collection::vec((0u32..16, 28u32..=32), 0..8), asked in 0u32..16,
        ) {
            let texts: Vec<String> = parts
                .iter()
                .map(|(bits, length)| {
                    let network = 0x0a00_0000 | (bits & (u32::MAX << (32 - length)));
                    format!("{}/{length}", Ipv4Addr::from(network))
                })
                .collect();
            let expected = parts.iter().any(|(bits, length)| {
                let mask = u32::MAX << (32 - length);
                bits & mask == asked & mask
            });
            let asked = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | asked));
            prop_assert_eq!(Networks::parse(&texts).unwrap().contains(asked), expected);
        }
    }
}
