//! What the text of a message may be in turn: CEF, `@cee:` with JSON, or JSON alone, which become
//! fields.

use super::message::skip_blanks;

/// A text that says of itself what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Text and nothing more.
    Text,
    /// What stands behind `CEF:`.
    Cef(&'a [u8]),
    /// What stands behind `@cee:`.
    Cee(&'a [u8]),
    /// An object, or what was meant to be one.
    Json(&'a [u8]),
}

/// Looks at how a text begins, blanks aside.
#[inline]
pub fn recognise(text: &[u8]) -> Payload<'_> {
    match skip_blanks(text) {
        [b'C', b'E', b'F', b':', rest @ ..] => {
            let rest = skip_blanks(rest);
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 && rest.get(digits) == Some(&b'|') {
                Payload::Cef(rest)
            } else {
                Payload::Text
            }
        }
        [b'@', b'c', b'e', b'e', b':', rest @ ..] => Payload::Cee(rest),
        text if is_json(text) => Payload::Json(text),
        _ => Payload::Text,
    }
}

/// Whether it begins as an object does, also behind brackets that do not belong there: a piece of an
/// event is no text.
fn is_json(text: &[u8]) -> bool {
    let is_around = |byte: &u8| b" \t\r\n{}[],".contains(byte);
    let length = text.iter().take_while(|byte| is_around(byte)).count();
    let (brackets, rest) = text.split_at(length);
    brackets.contains(&b'{') && (rest.is_empty() || rest.starts_with(b"\""))
}

/// Whether it is more than text.
#[inline]
pub fn is_payload(text: &[u8]) -> bool {
    recognise(text) != Payload::Text
}
