//! How Python writes a JSON scalar: `str(orjson.loads(json))`, on which fapilog decides and which
//! it shows. The text comes from a decoded event: it is valid JSON, without lone surrogates and
//! without numbers that do not fit.
//!
//! A container is written as its own JSON without blanks, deliberately not as fapilog has it:
//! Python's `repr` of a dict is no format that anyone else reads.

use std::io::Write;
use std::str;

use crate::text::unescape;

/// Appends what Python's `str()` gives for the value.
pub fn python_str(json: &[u8], out: &mut Vec<u8>) {
    match json {
        [b'"', ..] => unescape(json, out),
        b"true" => out.extend_from_slice(b"True"),
        b"false" => out.extend_from_slice(b"False"),
        b"null" => out.extend_from_slice(b"None"),
        // The only integer that is not written as it is read.
        b"-0" => out.push(b'0'),
        [b'{' | b'[', ..] => write_compact(json, out),
        _ if json.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => write_number(json, out),
        _ => out.extend_from_slice(json),
    }
}

/// The same in place, where the value is a string without escapes, or else in `scratch`.
#[inline]
pub fn python_text<'a>(json: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if let [b'"', text @ .., b'"'] = json
        && memchr::memchr(b'\\', text).is_none()
    {
        return text;
    }
    scratch.clear();
    python_str(json, scratch);
    scratch
}

/// Appends a container without the blanks between its tokens.
fn write_compact(json: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        if in_string || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.push(*byte);
        }
        if *byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = *byte == b'\\' && !escaped;
    }
}

fn write_number(json: &[u8], out: &mut Vec<u8>) {
    match str::from_utf8(json).ok().and_then(|text| text.parse().ok()) {
        Some(value) => write_float(value, out),
        None => out.extend_from_slice(json),
    }
}

/// Appends a finite float as Python's `repr` has it: the fewest digits that read back the same,
/// the even ones of two equally near (the standard library takes the upper ones), with an
/// exponent of two digits or more below -4 and from 16 on.
fn write_float(value: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (sign, positive) = text.strip_prefix('-').map_or(("", text), |tail| ("-", tail));
    // Writing to a Vec cannot fail.
    let _ = if let Some((mantissa, exponent)) = positive.split_once('e') {
        let exponent_sign = if exponent.starts_with('-') { '-' } else { '+' };
        let digits = exponent.trim_start_matches(['+', '-']);
        write!(out, "{sign}{mantissa}e{exponent_sign}{digits:0>2}")
    } else if let Some(digits) = positive.strip_prefix("0.0000") {
        // The one exponent that only Python writes as one.
        let (first, further) = digits.split_at(1);
        let point = if further.is_empty() { "" } else { "." };
        write!(out, "{sign}{first}{point}{further}e-05")
    } else {
        out.write_all(text.as_bytes())
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        let mut out = Vec::new();
        python_str(json.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// `str(orjson.loads(json))` of Python 3.11, orjson 3.13.
    #[test]
    fn scalars_are_written_as_python_writes_them() {
        for (json, expected) in [
            ("true", "True"),
            ("false", "False"),
            ("null", "None"),
            ("-0", "0"),
            ("0", "0"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-0.0", "-0.0"),
            ("0e5", "0.0"),
            ("1E5", "100000.0"),
            ("1.0", "1.0"),
            ("12.5", "12.5"),
            ("123456.789e2", "12345678.9"),
            ("1e15", "1000000000000000.0"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("1e16", "1e+16"),
            ("-1.5e300", "-1.5e+300"),
            ("0.1", "0.1"),
            ("-2104255955588531.25", "-2104255955588531.2"),
            ("32784251912095.3125", "32784251912095.312"),
            ("0.00012", "0.00012"),
            ("1e-4", "0.0001"),
            ("-1E-5", "-1e-05"),
            ("12.5e-6", "1.25e-05"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("0.30000000000000004", "0.30000000000000004"),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
    }

    #[test]
    fn strings_are_their_text() {
        for (json, expected) in [
            (r#""""#, ""),
            (r#""plain é""#, "plain é"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""a\u0041\u00e9\ud83d\ude00z""#, "aAé😀z"),
            (r#""\u0000""#, "\0"),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
    }

    /// Deliberately not `{'a': [1, True]}`.
    #[test]
    fn containers_are_their_json_without_blanks() {
        assert_eq!(
            text(r#"{ "a b" : [1, true, "\" \\" , 1e5 ] }"#),
            r#"{"a b":[1,true,"\" \\",1e5]}"#
        );
        assert_eq!(text("[ ]"), "[]");
    }

    #[test]
    fn plain_strings_are_not_copied() {
        let mut scratch = Vec::new();
        assert_eq!(python_text(b"\"abc\"", &mut scratch), b"abc");
        assert_eq!(scratch.capacity(), 0);
        assert_eq!(python_text(br#""a\nc""#, &mut scratch), b"a\nc");
        assert_eq!(python_text(b"null", &mut scratch), b"None");
    }
}
