//! Python's `random.Random`: the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded
//! as Python seeds it, so that a seed means the same sample as in fapilog.

use std::fs::File;
use std::io::Read;

use crate::error::{Error, Result};

const LENGTH: usize = 624;
const PERIOD: usize = 397;
/// The twist and the bits that it joins.
const MATRIX: u32 = 0x9908_b0df;
const UPPER: u32 = 0x8000_0000;

/// The generator; no source of secrets.
pub struct Mersenne {
    state: Box<[u32; LENGTH]>,
    next: usize,
}

impl Mersenne {
    /// `random.Random(int(seed))`, of an integer of any length. Its sign does not count.
    pub fn from_python_seed(seed: &str) -> Result<Self> {
        let digits = seed.strip_prefix('-').unwrap_or(seed);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(Error::Invalid(format!("seed {seed:?} is no integer")));
        }
        Ok(Self::from_words(&words(digits)))
    }

    /// Seeded by the operating system.
    pub fn from_system() -> Result<Self> {
        let source = "/dev/urandom";
        let mut seed = [0; 32];
        File::open(source)
            .and_then(|mut file| file.read_exact(&mut seed))
            .map_err(|error| Error::io(format!("read {source}"), error))?;
        let words: Vec<u32> =
            seed.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
        Ok(Self::from_words(&words))
    }

    /// The authors' `init_by_array`.
    #[allow(clippy::cast_possible_truncation, reason = "positions and lengths are small")]
    fn from_words(words: &[u32]) -> Self {
        let mut state = Box::new([0; LENGTH]);
        state[0] = 19_650_218;
        for at in 1..LENGTH {
            state[at] = mixed(state[at - 1], 1_812_433_253).wrapping_add(at as u32);
        }
        let mut at = 1;
        for (index, word) in words.iter().enumerate().cycle().take(words.len().max(LENGTH)) {
            let value = state[at] ^ mixed(state[at - 1], 1_664_525);
            state[at] = value.wrapping_add(*word).wrapping_add(index as u32);
            at = step(&mut state, at);
        }
        for _ in 1..LENGTH {
            let value = state[at] ^ mixed(state[at - 1], 1_566_083_941);
            state[at] = value.wrapping_sub(at as u32);
            at = step(&mut state, at);
        }
        state[0] = UPPER;
        Self { state, next: LENGTH }
    }

    /// `random()`: from 0 up to but not 1, in steps of 2^-53.
    #[inline]
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) * (1.0 / 9_007_199_254_740_992.0)
    }

    #[inline]
    fn next_u32(&mut self) -> u32 {
        if self.next == LENGTH {
            self.refill();
        }
        let mut value = self.state[self.next];
        self.next += 1;
        value ^= value >> 11;
        value ^= (value << 7) & 0x9d2c_5680;
        value ^= (value << 15) & 0xefc6_0000;
        value ^ (value >> 18)
    }

    #[cold]
    fn refill(&mut self) {
        for at in 0..LENGTH {
            let joined = (self.state[at] & UPPER) | (self.state[(at + 1) % LENGTH] & !UPPER);
            let twist = if joined & 1 == 1 { MATRIX } else { 0 };
            self.state[at] = self.state[(at + PERIOD) % LENGTH] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }
}

fn mixed(previous: u32, multiplier: u32) -> u32 {
    (previous ^ (previous >> 30)).wrapping_mul(multiplier)
}

/// The position after `at`. The first one only hands on what the last one has.
fn step(state: &mut [u32; LENGTH], at: usize) -> usize {
    if at + 1 < LENGTH {
        return at + 1;
    }
    state[0] = state[LENGTH - 1];
    1
}

/// A number of decimal digits in base 2^32, the lowest word first; one word at least.
#[allow(clippy::cast_possible_truncation, reason = "each half has 32 bits")]
fn words(digits: &str) -> Vec<u32> {
    let mut words = vec![0_u32];
    for digit in digits.bytes() {
        let mut carry = u64::from(digit - b'0');
        for word in &mut words {
            let value = u64::from(*word) * 10 + carry;
            *word = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `random.Random(seed).random()`, twice, of Python 3.11.
    #[test]
    fn a_seed_gives_pythons_sequence() {
        for (seed, first, second) in [
            ("0", 0.844_421_851_525_048_1, 0.757_954_402_940_302_5),
            ("1", 0.134_364_244_112_401_22, 0.847_433_736_937_232_7),
            ("-1", 0.134_364_244_112_401_22, 0.847_433_736_937_232_7),
            ("42", 0.639_426_798_457_883_7, 0.025_010_755_222_666_936),
            ("4294967296", 0.112_994_300_956_364_09, 0.417_828_864_862_928_36),
            ("18446744073709551621", 0.510_578_376_936_511_2, 0.879_758_652_801_219_9),
            (
                "-10000000000000000000000000000000000000000",
                0.347_537_965_665_138_17,
                0.760_533_987_351_171_1,
            ),
        ] {
            let mut generator = Mersenne::from_python_seed(seed).unwrap();
            let drawn = [generator.random(), generator.random()];
            assert_eq!(drawn.map(f64::to_bits), [first, second].map(f64::to_bits), "{seed}");
        }
    }

    /// The 2000th of seed 1, past the third refill.
    #[test]
    fn the_sequence_goes_on_like_pythons() {
        let mut generator = Mersenne::from_python_seed("1").unwrap();
        let last = (0..2000).map(|_| generator.random()).last().unwrap();
        assert_eq!(last.to_bits(), 0.449_966_374_697_454_7_f64.to_bits());
    }

    #[test]
    fn a_seed_is_an_integer() {
        for seed in ["", "-", "1.5", "0x1", "--1", " 1"] {
            assert!(Mersenne::from_python_seed(seed).is_err(), "{seed:?}");
        }
    }

    #[test]
    fn two_generators_of_the_system_differ() {
        let draw = || Mersenne::from_system().unwrap().random().to_bits();
        assert_ne!(draw(), draw());
    }
}
