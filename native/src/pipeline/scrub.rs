//! What may be kept of a line that is no event. The redactors' rules are about paths, and a
//! broken line has none; so it is read by tokens as far as its structure is clear, and from where
//! it is not, every value is masked. Where no rule is about paths, only URLs need a look.

use std::sync::Arc;

use super::config::{Kernel, Segment};
use super::paths::{BARREN, Paths, Rules, WANTED};
use super::patterns::PythonPatterns;
use super::redact::strip_url;
use super::runner::add_rules;
use crate::decode::Print;
use crate::error::Result;
use crate::text::{unescape, write_string};

/// What stands for a value of which nobody knows where it belongs.
const MASK: &str = "***";
/// Deeper down, no structure is clear.
const DEPTH_MAXIMUM: usize = 1024;

/// What may come next in an object; an array is always at a value or behind one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Key,
    Colon,
    Value,
    Comma,
}

struct Container {
    is_object: bool,
    place: u32,
    /// Of the value that comes next or has come last.
    child: u32,
    elements: u32,
    next: Next,
}

/// What is known of the rules about paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// There are none.
    None,
    /// All of them.
    All,
    /// Python has some that are not known here.
    Some,
}

/// Takes the secrets out of broken lines.
pub struct Scrubber {
    paths: Paths,
    masks: Vec<String>,
    rules: Known,
    by_url: bool,
    open: Vec<Container>,
    /// From here on no value has a place that is known.
    is_lost: bool,
    key: Vec<u8>,
    out: Vec<u8>,
}

impl Scrubber {
    /// With the rules of all redactors of the pipeline. `is_opaque`: there are others, whose
    /// rules are not known here, so that every value is masked.
    ///
    /// # Errors
    /// As [`super::Runner::new`].
    pub fn new(
        segment: &Segment,
        is_opaque: bool,
        python: Option<Arc<dyn PythonPatterns>>,
    ) -> Result<Self> {
        let mut rules = Rules { python, ..Rules::default() };
        let mut masks = Vec::new();
        let mut by_url = false;
        for stage in &segment.stages {
            let mask = match &stage.kernel {
                Kernel::FieldMask(config) => &config.mask_string,
                Kernel::RegexMask(config) => &config.mask_string,
                Kernel::FieldBlocker(config) => &config.replacement,
                kernel => {
                    by_url |= matches!(kernel, Kernel::UrlCredentials(_));
                    continue;
                }
            };
            let bit = 1_u32.checked_shl(masks.len() as u32).unwrap_or_default();
            masks.push(mask.clone());
            add_rules(&mut rules, stage.index, bit, &stage.kernel)?;
        }
        let known = match (is_opaque, masks.is_empty()) {
            (true, _) => Known::Some,
            (false, true) => Known::None,
            (false, false) => Known::All,
        };
        Ok(Self {
            paths: Paths::new(rules),
            masks,
            rules: known,
            by_url,
            open: Vec::new(),
            is_lost: false,
            key: Vec::new(),
            out: Vec::new(),
        })
    }

    /// The line as it may be kept.
    pub fn scrub<'a>(&'a mut self, raw: &'a [u8]) -> &'a [u8] {
        if self.rules == Known::None && !self.by_url {
            return raw;
        }
        self.out.clear();
        self.open.clear();
        self.is_lost = self.rules == Known::Some;
        // Before a brace it is text, not JSON.
        let begin = memchr::memchr2(b'{', b'"', raw).unwrap_or(raw.len());
        let (text, json) = raw.split_at(begin);
        self.text(text);
        let mut at = 0;
        while at < json.len() {
            at += self.token(&json[at..]);
        }
        &self.out
    }

    /// Plain text: kept, but for a URL that it begins with.
    fn text(&mut self, text: &[u8]) {
        let quoted = [b"\"", text, b"\""].concat();
        let mut stripped = Vec::new();
        if self.by_url {
            strip_url(&quoted, &mut stripped);
        }
        match stripped.as_slice() {
            [b'"', inside @ .., b'"'] => self.out.extend_from_slice(inside),
            _ => self.out.extend_from_slice(text),
        }
    }

    /// Handles the token at the beginning of the rest; its length.
    fn token(&mut self, rest: &[u8]) -> usize {
        match rest[0] {
            b' ' | b'\t' | b'\r' | b'\n' => self.keep(&rest[..1]),
            b'{' | b'[' => self.begin(rest),
            b'}' | b']' => self.end(rest),
            b':' => {
                self.advance(Next::Colon, Next::Value);
                self.keep(&rest[..1])
            }
            b',' => {
                self.comma();
                self.keep(&rest[..1])
            }
            b'"' => self.string(rest),
            _ => {
                let is_end = |byte: &u8| b"{}[],:\" \t\r\n".contains(byte);
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                self.scalar(&rest[..length]);
                length
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> usize {
        self.out.extend_from_slice(bytes);
        bytes.len()
    }

    /// Whether a value may come here; then its place. Otherwise the structure is lost.
    fn place(&mut self) -> Option<u32> {
        let place = match self.open.last_mut() {
            Some(object) if object.is_object && object.next == Next::Value => {
                object.next = Next::Comma;
                Some(object.child)
            }
            Some(array) if !array.is_object && array.next == Next::Value => {
                array.next = Next::Comma;
                array.elements = array.elements.saturating_add(1);
                let (place, position) = (array.place, array.elements - 1);
                Some(self.paths.element(place, position))
            }
            _ => None,
        };
        self.is_lost |= place.is_none();
        place.filter(|_| !self.is_lost)
    }

    fn advance(&mut self, from: Next, to: Next) {
        match self.open.last_mut() {
            Some(object) if object.is_object && object.next == from => object.next = to,
            _ => self.is_lost = true,
        }
    }

    fn comma(&mut self) {
        match self.open.last_mut() {
            Some(container) if container.next == Next::Comma => {
                container.next = if container.is_object { Next::Key } else { Next::Value };
            }
            // Between events that stand in an array.
            None => {}
            _ => self.is_lost = true,
        }
    }

    /// The text that masks what stands at a place.
    fn mask(&self, place: Option<u32>) -> Option<String> {
        let Some(place) = place else {
            return (self.rules != Known::None).then(|| MASK.to_owned());
        };
        let masks = if place & WANTED == 0 { 0 } else { self.paths.masks(place) };
        self.masks.get(masks.trailing_zeros() as usize).cloned()
    }

    fn begin(&mut self, rest: &[u8]) -> usize {
        let is_object = rest[0] == b'{';
        let place = if self.open.is_empty() && is_object && !self.is_lost {
            self.paths.begin()
        } else {
            let place = self.place();
            if let Some(mask) = self.mask(place).filter(|_| place.is_some()) {
                write_string(&mask, &mut self.out);
                return length_of_container(rest);
            }
            place.unwrap_or(BARREN)
        };
        if self.open.len() == DEPTH_MAXIMUM {
            self.is_lost = true;
        }
        if !self.is_lost {
            let next = if is_object { Next::Key } else { Next::Value };
            self.open.push(Container { is_object, place, child: BARREN, elements: 0, next });
        }
        self.keep(&rest[..1])
    }

    fn end(&mut self, rest: &[u8]) -> usize {
        let is_object = rest[0] == b'}';
        let is_outside = self.open.is_empty() && !is_object;
        match self.open.pop() {
            Some(container) if container.is_object == is_object => {}
            _ => self.is_lost |= !is_outside,
        }
        self.keep(&rest[..1])
    }

    fn string(&mut self, rest: &[u8]) -> usize {
        let length = length_of_string(rest);
        let string = &rest[..length];
        let behind = rest[length..].iter().find(|byte| !byte.is_ascii_whitespace());
        if behind == Some(&b':') {
            match self.open.last_mut() {
                Some(object) if object.is_object && object.next == Next::Key => {
                    self.key.clear();
                    unescape(string, &mut self.key);
                    object.child = self.paths.member(object.place, &self.key, Print::of(&self.key));
                    object.next = Next::Colon;
                }
                _ => self.is_lost = true,
            }
            return self.keep(string);
        }
        self.scalar(string);
        length
    }

    fn scalar(&mut self, token: &[u8]) {
        let place = self.place();
        let mut made = Vec::new();
        match self.mask(place) {
            Some(mask) => write_string(&mask, &mut made),
            None if self.by_url && token[0] == b'"' => {
                // Without its end, a string is what there is of it.
                let end: &[u8] = if is_closed(token) { b"" } else { b"\"" };
                strip_url(&[token, end].concat(), &mut made);
            }
            None => {}
        }
        self.out.extend_from_slice(if made.is_empty() { token } else { &made });
    }
}

/// With its quotes; up to the end where the closing one is missing.
fn length_of_string(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    rest.len()
}

fn is_closed(string: &[u8]) -> bool {
    length_of_string(&[string, b"x"].concat()) == string.len()
}

/// With its brackets, whatever their kinds; up to the end where one is missing.
fn length_of_container(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => {
                at += length_of_string(&rest[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"{"stages":[
        {"index":0,"kernel":"field_mask","config":{"mask_string":"***","fields_to_mask":
            ["data.password","data.users.email"]}},
        {"index":1,"kernel":"regex_mask","config":{"mask_string":"+++","python_patterns":[],
            "patterns":["(?i).*token.*"]}},
        {"index":2,"kernel":"url_credentials","config":{}}]}"#;
    const URLS: &str = r#"{"stages":[{"index":0,"kernel":"url_credentials","config":{}}]}"#;

    fn scrub(rules: &str, raw: &str) -> String {
        let segment = serde_json::from_str(rules).unwrap();
        let mut scrubber = Scrubber::new(&segment, false, None).unwrap();
        String::from_utf8(scrubber.scrub(raw.as_bytes()).to_vec()).unwrap()
    }

    /// As far as the structure is clear, only what the rules name is masked.
    #[test]
    fn values_at_masked_paths_are_masked() {
        for (raw, expected) in [
            (
                r#"{"data":{"password":"s","password":"s"}}"#,
                r#"{"data":{"password":"***","password":"***"}}"#,
            ),
            (
                r#"{"data":{"pass\u0077ord":"s","a":"k"}"#,
                r#"{"data":{"pass\u0077ord":"***","a":"k"}"#,
            ),
            (
                r#"{"data":{"users":[{"email":"s"},{"email":"#,
                r#"{"data":{"users":[{"email":"***"},{"email":"#,
            ),
            (r#"{"x":{"API_Token":{"a":["s"#, r#"{"x":{"API_Token":"+++""#),
            (
                r#"{"data":{"password":12345678901234567890123},"a":1e999}"#,
                r#"{"data":{"password":"***"},"a":1e999}"#,
            ),
            (
                r#"[{"data":{"password":"s"}},{"data":{"password":"s"}}]"#,
                r#"[{"data":{"password":"***"}},{"data":{"password":"***"}}]"#,
            ),
            ("<13>Nov 22 host app: plain text", "<13>Nov 22 host app: plain text"),
            (
                r#"<13>host app: {"data":{"password":"s"}}"#,
                r#"<13>host app: {"data":{"password":"***"}}"#,
            ),
            (r#"{"u":"https:\/\/u:s@h\/""#, r#"{"u":"https://h/""#),
        ] {
            assert_eq!(scrub(RULES, raw), expected, "{raw}");
        }
    }

    /// Behind the first mistake nobody knows what belongs to which key.
    #[test]
    fn values_behind_a_mistake_are_masked() {
        for (raw, expected) in [
            (r#"{"a":1 "password":"s"}"#, r#"{"a":1 "password":"***"}"#),
            (r#"{"data":{"password" "s"}}"#, r#"{"data":{"***" "***"}}"#),
            (r#"{"data":{"password: "s"}}"#, r#"{"data":{"***""***""***""#),
            (r#"{"a":1}}, {"b":"s"}"#, r#"{"a":1}}, {"b":"***"}"#),
            (r"{'password':'s'}", r#"{"***":"***"}"#),
            (r#""s""#, r#""***""#),
        ] {
            assert_eq!(scrub(RULES, raw), expected, "{raw}");
        }
    }

    /// Rules that are not about paths do not care for structure.
    #[test]
    fn urls_alone_need_no_structure() {
        for (raw, expected) in [
            (r#"{"a":1 "u":"https://u:s@h/" x"#, r#"{"a":1 "u":"https://h/" x"#),
            (r#"{"u":"https://u:s@h/"#, r#"{"u":"https://h/""#),
            ("https://u:s@h/x", "https://h/x"),
        ] {
            assert_eq!(scrub(URLS, raw), expected, "{raw}");
        }
    }
}
