//! Chance as an argument: a small seeded generator, so that a run can be repeated to the byte.
//!
//! SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Good
//! enough for jitter and for picking endpoints, and never to be used for anything that must not be guessed.

use core::time::Duration;

use crate::ratio::Ratio;
use crate::time::nanos;

/// A source of chance. The same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// A source that starts from `seed`.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each nearly equally likely (the bias is below `bound` / 2^64); 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A length of time from zero to `upper`, both included.
    pub fn up_to(&mut self, upper: Duration) -> Duration {
        Duration::from_nanos(self.below(nanos(upper).saturating_add(1)))
    }

    /// True in `ratio` of the cases.
    pub fn happens(&mut self, ratio: Ratio) -> bool {
        self.below(u64::from(Ratio::ONE.parts())) < u64::from(ratio.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let mut chance = Chance::from_seed(1);
        assert_eq!(chance.next_u64(), 0x910a_2dec_8902_5cc1);
        assert_eq!(chance.next_u64(), 0xbeeb_8da1_658e_ec67);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut chance = Chance::from_seed(7);
        assert!((0..1000).all(|_| chance.below(3) < 3));
        assert_eq!(chance.below(0), 0);
    }

    #[test]
    fn a_ratio_happens_about_as_often_as_it_says() {
        let mut chance = Chance::from_seed(3);
        let hits = (0..10_000).filter(|_| chance.happens(Ratio::percent(20))).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!((0..100).all(|_| chance.happens(Ratio::ONE)));
        assert!((0..100).all(|_| !chance.happens(Ratio::ZERO)));
    }
}
