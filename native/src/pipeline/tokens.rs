//! Where the values of an event are: one scan of its text, after which an object's members can
//! be visited in any order without reading again what they hold.
//!
//! The text has been decoded before: that it is valid JSON is not checked again.

use std::ops::Range;

use memchr::memchr2;

/// A value or a key.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    start: usize,
    end: usize,
    next: usize,
    /// Whether it is a string with an escape in it.
    pub has_escapes: bool,
}

impl Token {
    /// Its JSON.
    #[inline]
    pub fn text<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start..self.end]
    }

    /// Where in the JSON it is.
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The number of the token that follows it and all that it holds.
    #[inline]
    pub fn next(&self) -> usize {
        self.next
    }
}

/// The tokens of one text, in its order; memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Tokens {
    all: Vec<Token>,
    open: Vec<usize>,
}

impl Tokens {
    /// Forgets the text before and reads the value `json`, which is token 0.
    pub fn read(&mut self, json: &[u8]) {
        self.all.clear();
        self.open.clear();
        let mut at = 0;
        while let Some(byte) = json.get(at) {
            let start = at;
            match byte {
                b'{' | b'[' => {
                    at += 1;
                    self.open.push(self.all.len());
                    self.push(start, at, false);
                }
                b'}' | b']' => {
                    at += 1;
                    self.close(at);
                }
                b'"' => {
                    let has_escapes;
                    (at, has_escapes) = string_end(json, start + 1);
                    self.push(start, at, has_escapes);
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                _ => {
                    at = scalar_end(json, at);
                    self.push(start, at, false);
                }
            }
        }
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize, has_escapes: bool) {
        self.all.push(Token { start, end, next: self.all.len() + 1, has_escapes });
    }

    fn close(&mut self, end: usize) {
        let next = self.all.len();
        if let Some(container) = self.open.pop() {
            self.all[container].end = end;
            self.all[container].next = next;
        }
    }

    /// The token of that number.
    #[inline]
    pub fn get(&self, token: usize) -> Token {
        self.all[token]
    }

    /// The numbers of the keys of an object; a key's value is the token behind it.
    pub fn keys(&self, object: usize) -> impl Iterator<Item = usize> {
        let end = self.all.get(object).map_or(0, Token::next);
        let mut next = object + 1;
        std::iter::from_fn(move || {
            let key = (next < end).then_some(next)?;
            next = self.all[key + 1].next;
            Some(key)
        })
    }
}

/// The position behind the quote that ends a string, and whether the string has escapes.
#[inline]
fn string_end(json: &[u8], mut at: usize) -> (usize, bool) {
    let mut has_escapes = false;
    while let Some(found) = memchr2(b'"', b'\\', &json[at.min(json.len())..]) {
        at += found;
        if json[at] == b'"' {
            return (at + 1, has_escapes);
        }
        has_escapes = true;
        at += 2;
    }
    (json.len(), has_escapes)
}

fn scalar_end(json: &[u8], at: usize) -> usize {
    let is_delimiter =
        |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    json[at..].iter().position(is_delimiter).map_or(json.len(), |length| at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_they_hold() {
        let json = br#" { "a" : [1, {"x":"]"}, [] ] ,"b\"":"}\\", "c":null,"d":-1.5e3}"#;
        let mut tokens = Tokens::default();
        tokens.read(json);
        let text = |token| str::from_utf8(tokens.get(token).text(json)).unwrap();
        let members: Vec<_> = tokens.keys(0).map(|key| (text(key), text(key + 1))).collect();
        let expected = [
            ("\"a\"", "[1, {\"x\":\"]\"}, [] ]"),
            ("\"b\\\"\"", "\"}\\\\\""),
            ("\"c\"", "null"),
            ("\"d\"", "-1.5e3"),
        ];
        assert_eq!(members, expected);
        let escapes: Vec<_> = tokens.keys(0).map(|key| tokens.get(key).has_escapes).collect();
        assert_eq!(escapes, [false, true, false, false]);
        tokens.read(b"{}");
        assert_eq!(tokens.keys(0).count(), 0);
    }
}
