//! Text around JSON, of which no rule speaks.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// A userinfo in front of a host, wherever it stands.
static USERINFO: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?-u)(//)[^\s/?#"'<>]*@"#).ok());

/// Whether text says nothing that could be a part of an event: it is empty, or the header and the
/// words of a syslog message. Any other may be a piece of a value that line breaks have torn up.
/// Nor are words what syslog carries in fields, which rules about paths speak of.
pub fn is_of_no_event(text: &[u8], json: &[u8]) -> bool {
    let is_torn = json.first() == Some(&b'"');
    is_empty(text) || !is_torn && is_syslog(text) && !has_fields(text)
}

fn has_fields(text: &[u8]) -> bool {
    [&b"CEF:"[..], b"cee:"].iter().any(|mark| memchr::memmem::find(text, mark).is_some())
}

/// Whether it is nothing but brackets and blanks.
pub fn is_empty(text: &[u8]) -> bool {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    text.iter().all(|byte| b" \t\r\n[],".contains(byte))
}

/// Whether it begins with the priority of a syslog message: `<13>`.
fn is_syslog(text: &[u8]) -> bool {
    let digits =
        text.strip_prefix(b"<").map(|rest| rest.iter().take_while(|byte| byte.is_ascii_digit()));
    digits
        .map(Iterator::count)
        .is_some_and(|count| (1..=3).contains(&count) && text.get(count + 1) == Some(&b'>'))
}

/// Whether the beginning of a string could be that of a URL.
pub fn may_be_url(string: &[u8]) -> bool {
    memchr::memchr(b'\\', string).is_some() || memchr::memmem::find(string, b"//").is_some()
}

/// Takes the credentials out of URLs wherever they stand: in what is no JSON, nobody knows where
/// a string begins.
pub fn strip_credentials(text: &mut Vec<u8>) {
    if let Some(userinfo) = USERINFO.as_ref()
        && memchr::memchr(b'@', text).is_some()
        && userinfo.is_match(text)
    {
        *text = userinfo.replace_all(text, &b"$1"[..]).into_owned();
    }
}
