//! How far a token reaches that may have no end.

/// With its quotes; up to the end where the closing one is missing.
pub fn length_of_string(rest: &[u8]) -> usize {
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

/// Whether a string has its closing quote.
pub fn is_closed(string: &[u8]) -> bool {
    length_of_string(&[string, b"x"].concat()) == string.len()
}

/// With its brackets, whatever their kinds; up to the end where one is missing.
pub fn length_of_container(rest: &[u8]) -> usize {
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
