//! Looks at eight bytes of a text at a time: faster than one by one, and than a call into a
//! library where the next match is a few bytes away.

const LOWEST: u64 = u64::MAX / 255;
const HIGHEST: u64 = LOWEST << 7;

/// The highest bit of each byte that equals `byte`. Above the first, others may be marked.
#[inline]
pub fn equal(word: u64, byte: u8) -> u64 {
    let differences = word ^ (LOWEST * u64::from(byte));
    differences.wrapping_sub(LOWEST) & !differences & HIGHEST
}

/// The same for each byte below `byte`, which is at most 128.
#[inline]
pub fn below(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(LOWEST * u64::from(byte)) & !word & HIGHEST
}

/// The position of the first byte that `marks` marks. For a word of eight copies of a byte it
/// has to say the same as for that byte among others.
#[inline]
pub fn position(text: &[u8], marks: impl Fn(u64) -> u64) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| marks(LOWEST * u64::from(*byte)) != 0)?;
    Some(words.len() * 8 + at)
}

/// Whether `marks` marks no byte.
#[inline]
pub fn none(text: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let found = if let Some(last) = text.last_chunk() {
        // Without a branch, so that the compiler makes vectors of words. The last one may overlap
        // the one before.
        text.as_chunks().0.iter().fold(marks(u64::from_le_bytes(*last)), |found, word| {
            found | marks(u64::from_le_bytes(*word))
        })
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        marks(first | last << 32)
    } else {
        text.iter().fold(0, |found, byte| found | marks(LOWEST * u64::from(*byte)))
    };
    found == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the byte is in a text of whatever length, and whatever bytes are around it.
    #[test]
    fn the_first_match_is_found() {
        for length in 0..40 {
            for around in [0, b'a', b'=' - 1, b'=' + 1, 0x80, 0xff] {
                let mut text = vec![around; length];
                let marks = |word| equal(word, b'=');
                assert_eq!(position(&text, marks), None);
                assert!(none(&text, marks));
                for at in 0..length {
                    text[at..].fill(around);
                    text[at] = b'=';
                    assert_eq!(position(&text, marks), Some(at));
                    assert!(!none(&text, marks), "{length} {at}");
                    text[at] = around;
                }
            }
        }
    }

    /// Each byte is below those above it and no others.
    #[test]
    fn bytes_are_compared() {
        for limit in 1..=128 {
            for byte in 0..=255 {
                assert_eq!(
                    position(&[byte; 11], |word| below(word, limit)).is_some(),
                    byte < limit
                );
            }
        }
    }
}
