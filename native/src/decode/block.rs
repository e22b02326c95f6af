//! Which bytes of a block a string cannot simply run over: quote, backslash, control characters.
//! SSE2 is part of every x86-64; elsewhere two machine words do the same work.

use super::line::BLOCK;

#[cfg(target_arch = "x86_64")]
pub use sse2::stops;

#[cfg(not(target_arch = "x86_64"))]
pub use portable::stops;

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    use super::BLOCK;

    /// One bit per byte of the block, the first byte lowest.
    #[inline]
    pub fn stops(block: &[u8; BLOCK]) -> u32 {
        // SAFETY: SSE2 belongs to every x86-64; the reference covers exactly the 16 bytes read,
        // and `loadu` asks for no alignment.
        unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().cast::<__m128i>());
            let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x22));
            let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x5c));
            let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            let stops = _mm_or_si128(_mm_or_si128(quotes, backslashes), controls);
            _mm_movemask_epi8(stops).cast_unsigned()
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::BLOCK;

    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;

    /// One bit per byte of the block, the first byte lowest.
    #[inline]
    pub fn stops(block: &[u8; BLOCK]) -> u32 {
        let (words, _) = block.as_chunks::<8>();
        words.iter().rev().fold(0, |stops, word| stops << 8 | in_word(u64::from_le_bytes(*word)))
    }

    fn in_word(bytes: u64) -> u32 {
        let stops = zeros(bytes ^ (0x22 * EACH))
            | zeros(bytes ^ (0x5c * EACH))
            | zeros(bytes & (0xe0 * EACH));
        // The product gathers bit 0 of every byte in its top byte, in the order of the bytes.
        let gathered = (stops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        u32::from(gathered.to_le_bytes()[0])
    }

    /// The high bit of each byte that is zero; exact, unlike the shorter form that borrows.
    fn zeros(bytes: u64) -> u64 {
        !((bytes & !HIGH).wrapping_add(!HIGH) | bytes) & HIGH
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{portable, stops};

    fn reference(block: [u8; 16]) -> u32 {
        (0..16).filter(|&at| matches!(block[at], b'"' | b'\\' | ..0x20)).map(|at| 1 << at).sum()
    }

    #[test]
    fn every_byte_at_every_position() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut block = [b'x'; 16];
                block[at] = byte;
                assert_eq!(stops(&block), reference(block), "{block:?}");
                assert_eq!(portable::stops(&block), reference(block), "{block:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn implementations_agree(block in any::<[u8; 16]>()) {
            prop_assert_eq!(stops(&block), reference(block));
            prop_assert_eq!(portable::stops(&block), reference(block));
        }

        #[test]
        fn implementations_agree_on_dense_stops(
            block in proptest::array::uniform16(prop_oneof![
                Just(b'"'), Just(b'\\'), Just(0x1f), Just(0x20), Just(0x21), Just(0x23), Just(0x80)
            ])
        ) {
            prop_assert_eq!(stops(&block), reference(block));
            prop_assert_eq!(portable::stops(&block), reference(block));
        }
    }
}
