//! One string without the user name and password in it, as fapilog's `url_credentials` leaves
//! it: taken apart and put together again as `urllib.parse` of Python 3.11 does that.
//!
//! It differs where fapilog would keep a secret or break an address: hosts in brackets keep
//! them, what Python refuses to parse loses its userinfo and nothing else, a path that begins
//! with `//` does not move to the place of an empty host, and no string is too long.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// A string has to begin with one of these and `://`, or with `//` at once.
const SCHEMES: [&[u8]; 23] = [
    b"http",
    b"https",
    b"ftp",
    b"ftps",
    b"ssh",
    b"git",
    b"svn",
    b"postgres",
    b"postgresql",
    b"mysql",
    b"mongodb+srv",
    b"mongodb",
    b"mssql",
    b"cockroachdb",
    b"redis",
    b"rediss",
    b"amqp",
    b"amqps",
    b"nats",
    b"ldap",
    b"ldaps",
    b"smtp",
    b"smtps",
];

/// As many bytes of a string as tell whether it begins with one of [`SCHEMES`] and `://`.
const HEAD: usize = 16;

/// Those of [`SCHEMES`] whose URLs keep the `//` when no host is left (Python's `uses_netloc`).
const SCHEMES_WITH_NETLOC: [&str; 5] = ["http", "https", "ftp", "git", "svn"];

/// Characters whose compatibility form (NFKC) holds one of `/?#@:`; Python parses no host with
/// them. The list is that of Unicode 14, of Python 3.11.
const DELIMITERS_IN_DISGUISE: [char; 19] = [
    '\u{2047}', '\u{2048}', '\u{2049}', '\u{2100}', '\u{2101}', '\u{2105}', '\u{2106}', '\u{2a74}',
    '\u{fe13}', '\u{fe16}', '\u{fe55}', '\u{fe56}', '\u{fe5f}', '\u{fe6b}', '\u{ff03}', '\u{ff0f}',
    '\u{ff1a}', '\u{ff1f}', '\u{ff20}',
];

/// Whether [`strip_credentials`] could change the string of which `raw` is the inside, escapes
/// still in it. Cheap enough for every string there is; an escape at the beginning, where a
/// scheme would be, means yes.
#[inline]
pub fn may_hold_credentials(raw: &[u8]) -> bool {
    // Nearly all strings end here: their head has no colon, no escape and no slashes.
    let may_be_url = if let Some(head) = raw.first_chunk::<HEAD>() {
        holds_mark(head) || raw.starts_with(b"//")
    } else if let (Some(first), Some(last)) = (raw.first_chunk::<8>(), raw.last_chunk::<8>()) {
        holds_mark(first) || holds_mark(last) || raw.starts_with(b"//")
    } else {
        // With a scheme and a user, seven bytes are too few.
        matches!(raw.first(), Some(b'/' | b'\\'))
    };
    may_be_url && begins_like_url(raw)
}

/// Whether there is what could end a scheme. Without a branch per byte this is one comparison
/// of a vector.
#[inline]
fn holds_mark<const SIZE: usize>(bytes: &[u8; SIZE]) -> bool {
    let is_mark = |byte: &u8| u8::from(matches!(byte, b':' | b'\\'));
    bytes.iter().fold(0, |found, byte| found | is_mark(byte)) != 0
}

fn begins_like_url(raw: &[u8]) -> bool {
    let head = &raw[..raw.len().min(HEAD)];
    if head.contains(&b'\\') {
        return true;
    }
    // Neither a userinfo nor an escaped `@`: nothing to strip.
    scheme_length(head).is_some() && memchr::memchr2(b'@', b'\\', raw).is_some()
}

/// The length of the scheme, without its colon, with which a string begins.
fn scheme_length(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"//") {
        return Some(0);
    }
    let head = &text[..text.len().min(HEAD)];
    let length = memchr::memchr(b':', head)?;
    let is_url = text[length + 1..].starts_with(b"//") && SCHEMES.contains(&&text[..length]);
    is_url.then_some(length)
}

/// Appends the string without its credentials to `out`; false, and `out` as it was, where it
/// has none. `text` has no escapes in it any more.
pub fn strip_credentials(text: &str, out: &mut String) -> bool {
    let Some(scheme) = scheme_length(text.as_bytes()) else {
        return false;
    };
    let netloc_start = if scheme == 0 { 2 } else { scheme + 3 };
    let (before, behind) = text.split_at(netloc_start);
    let (netloc, rest) = behind.split_at(behind.find(['/', '?', '#']).unwrap_or(behind.len()));
    let Some((userinfo, host)) = netloc.rsplit_once('@') else {
        return false;
    };
    let mut named = userinfo.chars().filter(|character| !is_removed(*character));
    // Neither a user name nor a password: fapilog sees no userinfo.
    if matches!((named.next(), named.next()), (None | Some(':'), None)) {
        return false;
    }
    if let Some(host) = Host::of(&without_removed(netloc), &without_removed(host)) {
        put_together(&text[..scheme], &host, &without_removed(rest), out);
    } else {
        // Python raises. What is wrong with the address stays for people to see.
        out.push_str(before);
        out.push_str(&behind[userinfo.len() + 1..]);
    }
    true
}

/// Python takes these out of URLs wherever they are.
fn is_removed(character: char) -> bool {
    matches!(character, '\t' | '\r' | '\n')
}

fn without_removed(text: &str) -> Cow<'_, str> {
    if text.contains(is_removed) { text.split(is_removed).collect() } else { text.into() }
}

/// The host and port of a network location, whose parts have no bytes left to remove.
struct Host<'a> {
    name: &'a str,
    in_brackets: bool,
    /// Zero if there is none.
    port: u16,
}

impl<'a> Host<'a> {
    /// `host` is what follows the userinfo in `netloc`; nothing where Python would raise.
    fn of(netloc: &str, host: &'a str) -> Option<Self> {
        if netloc.contains(DELIMITERS_IN_DISGUISE) {
            return None;
        }
        // Brackets in a password count as well.
        match (netloc.split_once('['), netloc.contains(']')) {
            (None, false) => {}
            (Some((_, behind)), true) => {
                let address = behind.split_once(']').map_or(behind, |(address, _)| address);
                if !may_be_in_brackets(address) {
                    return None;
                }
            }
            _ => return None,
        }
        let (name, port, in_brackets) = if let Some((_, bracketed)) = host.split_once('[') {
            let (name, behind) = bracketed.split_once(']').unwrap_or((bracketed, ""));
            (name, behind.split_once(':').map_or("", |(_, port)| port), true)
        } else {
            let (name, port) = host.split_once(':').unwrap_or((host, ""));
            (name, port, false)
        };
        Some(Self { name, in_brackets, port: read_port(port)? })
    }

    fn write(&self, out: &mut String) {
        if self.in_brackets && !self.name.is_empty() {
            out.push('[');
        }
        // The zone of a scoped address is not a name of the domain system.
        let zone = self.name.find('%').unwrap_or(self.name.len());
        let (name, zone) = self.name.split_at(zone);
        if name.is_ascii() {
            out.extend(name.chars().map(|character| character.to_ascii_lowercase()));
        } else {
            out.push_str(&name.to_lowercase());
        }
        out.push_str(zone);
        if self.in_brackets && !self.name.is_empty() {
            out.push(']');
        }
        if self.port != 0 {
            out.push(':');
            out.push_str(&self.port.to_string());
        }
    }
}

/// Zero for none; nothing for what is no port.
fn read_port(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match text.trim_start_matches('0') {
        "" => Some(0),
        digits => digits.parse().ok(),
    }
}

/// Whether Python takes that for an IPv6 address or an address of the future.
fn may_be_in_brackets(address: &str) -> bool {
    if let Some(future) = address.strip_prefix('v') {
        return future.split_once('.').is_some_and(|(version, rest)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !rest.is_empty()
        });
    }
    let (address, zone) = address.split_once('%').unwrap_or((address, "none"));
    !zone.is_empty() && !zone.contains('%') && address.parse::<Ipv6Addr>().is_ok()
}

/// Writes a URL; `rest` is its path, query and fragment.
fn put_together(scheme: &str, host: &Host, rest: &str, out: &mut String) {
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push(':');
    }
    let has_host = !host.name.is_empty() || host.port != 0;
    // Without them, a path that begins with slashes would be read as a host.
    if has_host || path.starts_with("//") || SCHEMES_WITH_NETLOC.contains(&scheme) {
        out.push_str("//");
    }
    host.write(out);
    out.push_str(path);
    for (mark, part) in [('?', query), ('#', fragment)] {
        if !part.is_empty() {
            out.push(mark);
            out.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> Option<String> {
        let mut out = String::new();
        let found = strip_credentials(text, &mut out);
        assert_eq!(found, !out.is_empty());
        assert!(may_hold_credentials(text.as_bytes()) || !found, "{text}");
        found.then_some(out)
    }

    /// `UrlCredentialsRedactor._scrub_string` of fapilog 0.18.1.
    #[test]
    fn credentials_go_as_in_fapilog() {
        for (text, expected) in [
            ("https://user:pass@h.io:8443/p?q=1#f", "https://h.io:8443/p?q=1#f"),
            ("redis://:pw@h:6379/0", "redis://h:6379/0"),
            ("https://u:p@HOST/x", "https://host/x"),
            ("http://a@b:c@h/", "http://h/"),
            ("http://u:p@h:0080/?#", "http://h:80/"),
            ("http://u:p@h:0/", "http://h/"),
            ("http://u:p@h:/", "http://h/"),
            ("http://u:p@:80/x", "http://:80/x"),
            ("http://u:p@/x", "http:///x"),
            ("redis://u:p@/x", "redis:/x"),
            ("redis://u:p@", "redis:"),
            ("//u:p@/x", "/x"),
            ("//u:p@H/x", "//h/x"),
            ("http://u:p\n@h\t.io/a\rb?c\nd", "http://h.io/ab?cd"),
            ("mongodb+srv://u:p@A,B/db?x=1", "mongodb+srv://a,b/db?x=1"),
            ("https://u:p@ΑΣ.Com/É", "https://ασ.com/É"),
            ("http://u%40:p@h/a@b", "http://h/a@b"),
            ("http://u@h?a?b#c#d", "http://h?a?b#c#d"),
            ("http://u:p@h//x", "http://h//x"),
            ("http://u:p\\@h/", "http://h/"),
        ] {
            assert_eq!(stripped(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "http://@h/",
            "http://:@h/",
            "http://\t:\n@h/",
            "http://h/u:p@x",
            "see https://u:p@h/",
            "HTTPS://u:p@h/",
            "postgresql+asyncpg://u:p@h/db",
            " http://u:p@h",
            "http://u:p＠h/",
            "http:/u:p@h",
            "://u:p@h",
            "",
            "//",
        ] {
            assert_eq!(stripped(text), None, "{text}");
        }
    }

    /// fapilog leaves all of these as they are, with their passwords.
    #[test]
    fn what_python_cannot_parse_loses_only_its_userinfo() {
        for (text, expected) in [
            ("http://u:p@H:x/A", "http://H:x/A"),
            ("http://u:p@H:65536", "http://H:65536"),
            ("http://u:p@h:²", "http://h:²"),
            ("http://u:p[\n@H/\n", "http://H/\n"),
            ("http://u:p@[1.2.3.4]/", "http://[1.2.3.4]/"),
            ("http://u:p@[::1/", "http://[::1/"),
            ("http://u:p@[::1%]/", "http://[::1%]/"),
            ("http://u:p@a℀b/", "http://a℀b/"),
        ] {
            assert_eq!(stripped(text).as_deref(), Some(expected), "{text}");
        }
    }

    /// fapilog loses the brackets: `http://::1:80/x`.
    #[test]
    fn hosts_in_brackets_keep_them() {
        for (text, expected) in [
            ("http://u:p@[::1]:80/x", "http://[::1]:80/x"),
            ("http://u:p@[FE80::1%Eth0]/", "http://[fe80::1%Eth0]/"),
            ("http://u:p@[v1.A]/", "http://[v1.a]/"),
            ("http://u:[::1]@h/", "http://h/"),
        ] {
            assert_eq!(stripped(text).as_deref(), Some(expected), "{text}");
        }
    }

    /// fapilog makes `http://a:b@h/` of the first one.
    #[test]
    fn a_path_does_not_become_a_host() {
        for (text, expected) in [("http://u:p@//a:b@h/", "http:////a:b@h/"), ("//u:p@//x", "////x")]
        {
            assert_eq!(stripped(text).as_deref(), Some(expected), "{text}");
        }
    }

    /// fapilog leaves strings of more than 4096 characters as they are.
    #[test]
    fn long_strings_are_stripped() {
        let secret = "p".repeat(10_000);
        let (text, expected) =
            (format!("http://u:{secret}@h/{secret}"), format!("http://h/{secret}"));
        assert_eq!(stripped(&text), Some(expected));
    }

    #[test]
    fn most_strings_are_ruled_out_at_their_head() {
        for raw in [
            "",
            "a message without a colon, u:p@h",
            "name: user@example.com",
            "https://example.com/",
            "/path//u:p@h",
            "gopher://u:p@h",
        ] {
            assert!(!may_hold_credentials(raw.as_bytes()), "{raw}");
        }
        for raw in [
            r"http:\/\/u:p@h",
            r"\/\/u:p@h",
            r"\u0068ttp://u:p@h",
            r"https://u:p\u0040h",
            "cockroachdb://u:p@h",
            "//u@h",
            r"/\/u@h",
            "ftp://u@",
        ] {
            assert!(may_hold_credentials(raw.as_bytes()), "{raw}");
        }
    }
}
