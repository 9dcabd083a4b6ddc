//! A share of something, as a whole number of ten-thousandths: exact, comparable, and never NaN.

use core::fmt;

/// A share from 0 to 1 in steps of 0.0001.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u16);

impl Ratio {
    /// None of it.
    pub const ZERO: Self = Self(0);

    /// All of it.
    pub const ONE: Self = Self(10_000);

    /// A share in percent; more than 100 is taken as 100.
    #[must_use]
    pub const fn percent(percent: u16) -> Self {
        if percent >= 100 { Self::ONE } else { Self(percent * 100) }
    }

    /// A share from a float.
    ///
    /// # Errors
    ///
    /// `None` unless `share` is a number from 0 to 1.
    #[must_use]
    pub fn from_share(share: f64) -> Option<Self> {
        // The cast truncates, so half a step is added first.
        (0.0..=1.0).contains(&share).then_some(Self((share * 10_000.0 + 0.5) as u16))
    }

    /// Ten-thousandths: from 0 to 10,000.
    #[must_use]
    pub const fn parts(self) -> u16 {
        self.0
    }

    /// This share of `whole`, rounded down.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        ((whole as u128 * self.0 as u128) / 10_000) as u64
    }

    /// Whether `part` out of `whole` is at least this share; never true of an empty whole.
    #[must_use]
    pub const fn reached_by(self, part: u64, whole: u64) -> bool {
        whole > 0 && part as u128 * 10_000 >= whole as u128 * self.0 as u128
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, part) => write!(f, "{whole}.{part:02} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn shares_are_exact_and_bounded() {
        assert_eq!(Ratio::from_share(0.2), Some(Ratio::percent(20)));
        assert_eq!(Ratio::from_share(1.0001), None);
        assert_eq!(Ratio::from_share(f64::NAN), None);
        assert_eq!(Ratio::percent(20).of(501), 100);
        assert_eq!(Ratio::from_share(0.125).map(|r| r.to_string()), Some("12.50 %".into()));
    }

    #[test]
    fn an_empty_whole_reaches_no_share() {
        assert!(!Ratio::ZERO.reached_by(0, 0));
        assert!(Ratio::percent(50).reached_by(1, 2));
        assert!(!Ratio::percent(50).reached_by(49, 100));
    }
}
