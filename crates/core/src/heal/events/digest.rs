//! A short stand-in for what was delivered, to compare with what comes again.

/// 128 bits of what was added, in order and with its bounds.
///
/// Two different contents share a digest with a chance that can be neglected, unless somebody makes them so; that could be the
/// server only, which can say what it likes anyway. So there is no need for a cryptographic hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest(u128);

impl Default for Digest {
    fn default() -> Self {
        Self(START)
    }
}

impl Digest {
    /// That of one value.
    pub(super) fn of(value: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.add(value);
        digest
    }

    /// Adds a value.
    pub(super) fn add(&mut self, value: &[u8]) {
        let (words, rest) = value.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
        // The length tells where one value ends and the next begins, and zeroes from nothing.
        self.mix(value.len() as u64);
    }

    /// Adds that there is no value.
    pub(super) fn gap(&mut self) {
        self.mix(u64::MAX);
    }

    /// Each step can be undone, so what differs in one word stays different.
    fn mix(&mut self, word: u64) {
        let state = (self.0 ^ u128::from(word)).wrapping_mul(FACTOR);
        self.0 = state ^ (state >> 67);
    }
}

/// Digits of pi, so that it is seen to be arbitrary.
const START: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344;

/// Odd, so that multiplying can be undone, and with bits all over. The next digits of pi.
const FACTOR: u128 = 0xa409_3822_299f_31d0_082e_fa98_ec4e_6c89;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_bit_and_each_bound_makes_a_difference() {
        let mut seen = BTreeSet::new();
        for length in 0..40 {
            assert!(seen.insert(Digest::of(&std::vec![0; length])));
            for bit in 0..length * 8 {
                let mut value = std::vec![0; length];
                value[bit / 8] |= 1 << (bit % 8);
                assert!(seen.insert(Digest::of(&value)), "{length} {bit}");
            }
        }
        let two = |first: &[u8], second: &[u8]| {
            let mut digest = Digest::of(first);
            digest.add(second);
            digest
        };
        assert_ne!(two(b"ab", b"c"), two(b"a", b"bc"));
        assert_ne!(two(b"", b""), Digest::of(b""));
    }

    #[test]
    fn two_words_that_differ_don_t_make_up_for_one_another() {
        let mut seen = BTreeSet::new();
        for first in 0..300_u64 {
            for second in 0..300_u64 {
                let words = [(first << 40).to_le_bytes(), (second << 40).to_le_bytes()].concat();
                assert!(seen.insert(Digest::of(&words)), "{first} {second}");
            }
        }
    }
}
