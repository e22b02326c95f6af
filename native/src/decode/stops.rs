//! The index of a line: where it stops being plain text, that is at each quote, backslash and
//! control character. With it the scanner knows the end of a string before it has read it.
//!
//! SSE2 is part of every x86-64, AVX2 and AVX-512 are asked for once; elsewhere machine words do the
//! same work.

use super::line::{BLOCK, Line};

/// Stops written without asking how many a block has. Text of short keys has 9 to 12 in a block,
/// and a wrong guess of the processor costs more than the writes it saves.
const UNASKED: usize = 12;
/// At most so many are written that are none.
const SURPLUS: usize = 16;

/// Writes the stops of a line; the count.
type Find = fn(Line, &mut [u32]) -> usize;

/// The stops of one line, in memory that is used again for the next.
pub struct Stops {
    find: Find,
    positions: Vec<u32>,
}

impl Stops {
    pub fn new() -> Self {
        Self { find: fastest(), positions: Vec::new() }
    }

    /// The positions of all stops of the line and of the first byte behind it.
    #[inline]
    pub fn find(&mut self, line: Line) -> &[u32] {
        let most = line.end() + 1 + SURPLUS;
        if self.positions.len() < most {
            self.positions.resize(most, 0);
        }
        let count = (self.find)(line, &mut self.positions);
        &self.positions[..count]
    }
}

fn fastest() -> Find {
    #[cfg(target_arch = "x86_64")]
    return if is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("bmi1")
    {
        x86::find_with_avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") {
        x86::find_with_avx2
    } else {
        x86::find_with_sse2
    };
    #[cfg(not(target_arch = "x86_64"))]
    return portable::find;
}

/// `stops_of` gives one bit per byte of a block, the first byte lowest; `write` writes the positions
/// of the bits of a block that begins at a position.
#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled for the caller's instruction set")]
#[allow(clippy::cast_possible_truncation, reason = "the decoder accepts no line of 2^31 bytes")]
fn find_with(
    line: Line,
    positions: &mut [u32],
    stops_of: impl Fn(&[u8; BLOCK]) -> u64,
    write: impl Fn(u64, u32, &mut [u32]),
) -> usize {
    let mut count = 0;
    let last = line.end() / BLOCK;
    for (number, block) in line.blocks()[..=last].iter().enumerate() {
        let mut stops = stops_of(block);
        if number == last {
            // Of the padding, the first byte.
            stops &= u64::MAX >> (BLOCK - 1 - line.end() % BLOCK);
        }
        write(stops, (number * BLOCK) as u32, &mut positions[count..]);
        count += stops.count_ones() as usize;
    }
    count
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled for the caller's instruction set")]
fn write_each(mut stops: u64, start: u32, positions: &mut [u32]) {
    let count = stops.count_ones() as usize;
    for position in &mut positions[..UNASKED] {
        *position = start + stops.trailing_zeros();
        stops &= stops.wrapping_sub(1);
    }
    if stops != 0 {
        for position in &mut positions[UNASKED..count] {
            *position = start + stops.trailing_zeros();
            stops &= stops - 1;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, __m512i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8, _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cmpeq_epi8_mask,
        _mm512_cmplt_epu8_mask, _mm512_cvtepu8_epi32, _mm512_maskz_compress_epi8, _mm512_set1_epi8,
        _mm512_set1_epi32,
    };

    use std::mem::transmute;

    use super::{BLOCK, Line, SURPLUS, find_with, write_each};

    pub fn find_with_sse2(line: Line, positions: &mut [u32]) -> usize {
        find_with(line, positions, stops_with_sse2, write_each)
    }

    /// Must only be called where AVX2 and BMI1 have been detected.
    pub fn find_with_avx2(line: Line, positions: &mut [u32]) -> usize {
        #[target_feature(enable = "avx2,bmi1,popcnt")]
        fn find(line: Line, positions: &mut [u32]) -> usize {
            find_with(line, positions, |block| stops_with_avx2(block), write_each)
        }
        // SAFETY: detected, see above; every processor with AVX2 has POPCNT.
        unsafe { find(line, positions) }
    }

    /// Must only be called where AVX-512 with BW and VBMI2 has been detected.
    pub fn find_with_avx512(line: Line, positions: &mut [u32]) -> usize {
        #[target_feature(enable = "avx512bw,avx512vbmi2,bmi1,popcnt")]
        fn find(line: Line, positions: &mut [u32]) -> usize {
            let write =
                |stops, start, positions: &mut [u32]| write_at_once(stops, start, positions);
            find_with(line, positions, |block| stops_with_avx512(block), write)
        }
        // SAFETY: detected, see above; every processor with AVX-512 has BMI1 and POPCNT.
        unsafe { find(line, positions) }
    }

    #[inline]
    #[target_feature(enable = "avx512bw")]
    fn stops_with_avx512(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: any 64 bytes are a vector.
        let bytes = unsafe { transmute::<[u8; BLOCK], __m512i>(*block) };
        _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(0x22))
            | _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(0x5c))
            | _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20))
    }

    /// Writes as many as fit into a vector at once; a block with more is not what it is made for.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vbmi2")]
    fn write_at_once(stops: u64, start: u32, positions: &mut [u32]) {
        #[allow(clippy::cast_possible_truncation, reason = "a byte numbers the bytes of a block")]
        const NUMBERS: [u8; BLOCK] = {
            let mut numbers = [0; BLOCK];
            let mut at = 0;
            while at < BLOCK {
                numbers[at] = at as u8;
                at += 1;
            }
            numbers
        };
        if stops.count_ones() as usize > SURPLUS {
            return write_each(stops, start, positions);
        }
        // SAFETY: any 64 bytes are a vector.
        let numbers = unsafe { transmute::<[u8; BLOCK], __m512i>(NUMBERS) };
        let found = _mm512_castsi512_si128(_mm512_maskz_compress_epi8(stops, numbers));
        let found =
            _mm512_add_epi32(_mm512_cvtepu8_epi32(found), _mm512_set1_epi32(start.cast_signed()));
        // SAFETY: a vector is that many numbers.
        let found = unsafe { transmute::<__m512i, [u32; SURPLUS]>(found) };
        positions[..SURPLUS].copy_from_slice(&found);
    }

    #[inline]
    pub fn stops_with_sse2(block: &[u8; BLOCK]) -> u64 {
        let (parts, _) = block.as_chunks::<16>();
        parts.iter().rev().fold(0, |stops, part| {
            // SAFETY: SSE2 belongs to every x86-64; any 16 bytes are a vector.
            let found = unsafe {
                let bytes = transmute::<[u8; 16], __m128i>(*part);
                let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x22));
                let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x5c));
                let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
                _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls))
            };
            stops << 16 | u64::from(found.cast_unsigned())
        })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn stops_with_avx2(block: &[u8; BLOCK]) -> u64 {
        let (parts, _) = block.as_chunks::<32>();
        let mut stops = 0;
        for part in parts.iter().rev() {
            // SAFETY: any 32 bytes are a vector.
            let bytes = unsafe { transmute::<[u8; 32], __m256i>(*part) };
            let quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x22));
            let backslashes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x5c));
            let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
            let found = _mm256_or_si256(_mm256_or_si256(quotes, backslashes), controls);
            stops = stops << 32 | u64::from(_mm256_movemask_epi8(found).cast_unsigned());
        }
        stops
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{BLOCK, Line, find_with, write_each};

    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;

    pub fn find(line: Line, positions: &mut [u32]) -> usize {
        find_with(line, positions, stops, write_each)
    }

    #[inline]
    pub fn stops(block: &[u8; BLOCK]) -> u64 {
        let (words, _) = block.as_chunks::<8>();
        words.iter().rev().fold(0, |stops, word| stops << 8 | in_word(u64::from_le_bytes(*word)))
    }

    fn in_word(bytes: u64) -> u64 {
        let stops = zeros(bytes ^ (0x22 * EACH))
            | zeros(bytes ^ (0x5c * EACH))
            | zeros(bytes & (0xe0 * EACH));
        // The product gathers the lowest bit of every byte in its top byte, in their order.
        (stops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }

    /// The high bit of each byte that is zero; exact, unlike the shorter form that borrows.
    fn zeros(bytes: u64) -> u64 {
        !((bytes & !HIGH).wrapping_add(!HIGH) | bytes) & HIGH
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::line::{Line, PADDING};
    use super::{Find, SURPLUS, Stops, portable};

    fn implementations() -> Vec<Find> {
        let mut all: Vec<Find> = vec![portable::find, super::fastest()];
        #[cfg(target_arch = "x86_64")]
        {
            all.push(super::x86::find_with_sse2);
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") {
                all.push(super::x86::find_with_avx2);
            }
        }
        all
    }

    fn check(text: &[u8]) {
        let mut expected: Vec<usize> =
            (0..text.len()).filter(|&at| matches!(text[at], b'"' | b'\\' | ..0x20)).collect();
        expected.push(text.len());
        let padded = [text, &PADDING].concat();
        for find in implementations() {
            let mut positions = vec![7; text.len() + 1 + SURPLUS];
            let count = find(Line::new(&padded), &mut positions);
            let found: Vec<usize> = positions[..count].iter().map(|&at| at as usize).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn every_byte_at_every_position() {
        for byte in 0..=u8::MAX {
            for at in 0..64 {
                let mut text = [b'x'; 64];
                text[at] = byte;
                check(&text);
            }
        }
    }

    #[test]
    fn memory_is_used_again_for_lines_of_any_length() {
        let mut stops = Stops::new();
        for length in (0..300).chain((0..300).rev()) {
            let padded = [vec![b'"'; length], PADDING.to_vec()].concat();
            assert_eq!(stops.find(Line::new(&padded)).len(), length + 1);
        }
    }

    proptest! {
        #[test]
        fn implementations_agree(text in vec(any::<u8>(), 0..300)) {
            check(&text);
        }

        #[test]
        fn implementations_agree_on_dense_stops(
            text in vec(proptest::sample::select(b"\"\\\x1f\x00\x20\x21\x23\x5b\x5d\x80\x9f".to_vec()), 0..300)
        ) {
            check(&text);
        }
    }
}
