//! JSON as orjson writes it with `OPT_SORT_KEYS`: compact, keys in the order of their UTF-8
//! bytes, the fewest escapes, floats in their shortest form.

use crate::text::{inside, unescape, write_string};

use crate::pipeline::tokens::Tokens;

/// Writes the values of one text after the other, in memory that it uses again.
///
/// It calls itself for containers in containers, as deep as the decoder lets them be.
#[derive(Debug, Default)]
pub struct Canonical {
    tokens: Tokens,
    /// Of the objects that are being written, the outermost first.
    members: Vec<Member>,
    /// What the keys with escapes say.
    unescaped: Vec<u8>,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    /// The number of the key's token.
    key: usize,
    /// Where in [`Canonical::unescaped`] the key is, if it has escapes.
    unescaped: Option<(usize, usize)>,
}

impl Member {
    #[inline]
    fn key<'a>(&self, tokens: &Tokens, json: &'a [u8], unescaped: &'a [u8]) -> &'a [u8] {
        match self.unescaped {
            Some((start, end)) => &unescaped[start..end],
            None => inside(tokens.get(self.key).text(json)),
        }
    }
}

impl Canonical {
    /// Begins another text.
    pub fn read(&mut self, json: &[u8]) {
        self.tokens.read(json);
    }

    /// The values in `json` that are written.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Appends a value of the text that was read last.
    pub fn write(&mut self, json: &[u8], token: usize, out: &mut Vec<u8>) {
        let text = self.tokens.get(token).text(json);
        match text.first() {
            Some(b'{') => self.write_object(json, token, out),
            Some(b'[') => self.write_array(json, token, out),
            Some(b'"') => self.write_token_string(json, token, out),
            _ => write_scalar(text, out),
        }
    }

    fn write_object(&mut self, json: &[u8], object: usize, out: &mut Vec<u8>) {
        let first = self.members.len();
        let first_unescaped = self.unescaped.len();
        for key in self.tokens.keys(object) {
            let token = self.tokens.get(key);
            let unescaped = token.has_escapes.then(|| {
                let start = self.unescaped.len();
                unescape(token.text(json), &mut self.unescaped);
                (start, self.unescaped.len())
            });
            self.members.push(Member { key, unescaped });
        }
        let (tokens, unescaped) = (&self.tokens, &self.unescaped);
        self.members[first..].sort_unstable_by(|left, right| {
            left.key(tokens, json, unescaped).cmp(right.key(tokens, json, unescaped))
        });
        let end = self.members.len();
        out.push(b'{');
        for at in first..end {
            let Member { key, .. } = self.members[at];
            if at > first {
                out.push(b',');
            }
            self.write_token_string(json, key, out);
            out.push(b':');
            self.write(json, key + 1, out);
        }
        out.push(b'}');
        self.members.truncate(first);
        self.unescaped.truncate(first_unescaped);
    }

    fn write_array(&mut self, json: &[u8], array: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        let end = self.tokens.get(array).next();
        let mut item = array + 1;
        while item < end {
            if item > array + 1 {
                out.push(b',');
            }
            self.write(json, item, out);
            item = self.tokens.get(item).next();
        }
        out.push(b']');
    }

    fn write_token_string(&mut self, json: &[u8], token: usize, out: &mut Vec<u8>) {
        let token = self.tokens.get(token);
        if token.has_escapes {
            self.scratch.clear();
            unescape(token.text(json), &mut self.scratch);
            write_string(&self.scratch, out);
        } else {
            out.extend_from_slice(token.text(json));
        }
    }
}

/// A number, or a name of JSON.
fn write_scalar(text: &[u8], out: &mut Vec<u8>) {
    let is_number = text.first().is_some_and(|byte| *byte == b'-' || byte.is_ascii_digit());
    let is_float = is_number && text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let value = is_float.then(|| str::from_utf8(text).ok()?.parse::<f64>().ok()).flatten();
    match value {
        Some(value) => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        // An integer: for Python it has no sign.
        None if text == b"-0" => out.push(b'0'),
        None => out.extend_from_slice(text),
    }
}
