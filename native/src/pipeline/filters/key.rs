//! What stands for a text by which events are told apart.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// 128 bits of a hash under a secret: whatever senders write, its memory is bounded, no text of
/// theirs is kept, and nobody who does not know the secret finds two texts with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64, u64);

/// The secret of one filter.
#[derive(Default)]
pub struct Keys {
    halves: (RandomState, RandomState),
}

impl Keys {
    /// The key of a text.
    #[inline]
    pub fn of(&self, text: &[u8]) -> Key {
        Key(hash(&self.halves.0, text), hash(&self.halves.1, text))
    }
}

#[inline]
fn hash(secret: &RandomState, text: &[u8]) -> u64 {
    let mut hasher = secret.build_hasher();
    hasher.write(text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_key_and_another_text_another() {
        let keys = Keys::default();
        assert_eq!(keys.of(b"a"), keys.of(b"a"));
        assert_ne!(keys.of(b"a"), keys.of(b"a\0"));
        assert_ne!(keys.of(b""), keys.of(b"\0"));
    }

    #[test]
    fn the_halves_of_a_key_are_independent() {
        let Key(first, second) = Keys::default().of(b"a");
        assert_ne!(first, second);
    }
}
