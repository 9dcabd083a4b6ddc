//! How long something takes, drawn by chance.

use std::time::Duration;

use mainstay_core::Chance;
use mainstay_lab::{Delay, Ratio, parse_duration};

use crate::exact;

/// A distribution of lengths of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Always this long.
    Fixed(Duration),
    /// Anything between the two, all equally likely.
    Uniform(Duration, Duration),
    /// Exponential, with this mean: what has no memory.
    Exponential(Duration),
    /// Mostly about the median, with a long tail.
    LogNormal {
        /// Half of them take longer.
        median: Duration,
        /// One in a hundred takes longer.
        p99: Duration,
    },
    /// One of two lengths.
    Bimodal {
        /// The usual one.
        usual: Duration,
        /// The other one.
        rare: Duration,
        /// The share of the other one.
        share: Ratio,
    },
}

impl Spread {
    /// Draws a length.
    pub fn draw(&self, chance: &mut Chance) -> Duration {
        let drawn = match *self {
            Self::Fixed(length) => length,
            Self::Uniform(from, to) => from + chance.up_to(to.saturating_sub(from)),
            Self::Exponential(mean) => times(mean, exact::exponential(chance)),
            Self::LogNormal { median, p99 } => {
                // p99 / median = exp(sigma × z99)
                let factor = p99.as_nanos() as f64 / (median.as_nanos() as f64).max(1.0);
                let sigma = exact::ln(factor.max(1.0)) / Z99;
                times(median, exact::exp(sigma * exact::normal(chance)))
            }
            Self::Bimodal { usual, rare, share } => {
                if happens(share, chance) {
                    rare
                } else {
                    usual
                }
            }
        };
        drawn.min(LONGEST)
    }

    /// Reads `20ms`, `fixed=20ms`, `uniform=10ms..30ms`, `exponential=20ms`, `median=20ms p99=200ms` or
    /// `fixed=20ms rare=500ms share=0.01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !text.contains('=') {
            return parse_duration(text).map(Self::Fixed);
        }
        let mut pairs: Vec<(&str, &str)> =
            text.split_whitespace().map(|word| word.split_once('=')).collect::<Option<_>>()?;
        pairs.sort_unstable();
        match *pairs.as_slice() {
            [("fixed", length)] => Some(Self::Fixed(parse_duration(length)?)),
            [("exponential", mean)] => Some(Self::Exponential(parse_duration(mean)?)),
            [("uniform", ends)] => {
                let (from, to) = ends.split_once("..")?;
                let (from, to) = (parse_duration(from)?, parse_duration(to)?);
                (from <= to).then_some(Self::Uniform(from, to))
            }
            [("median", median), ("p99", p99)] => {
                let (median, p99) = (parse_duration(median)?, parse_duration(p99)?);
                (median <= p99 && !median.is_zero()).then_some(Self::LogNormal { median, p99 })
            }
            [("fixed", usual), ("rare", rare), ("share", share)] => Some(Self::Bimodal {
                usual: parse_duration(usual)?,
                rare: parse_duration(rare)?,
                share: Ratio::parse(share)?,
            }),
            _ => None,
        }
    }

    /// What [`Spread::parse`] reads, for messages.
    pub const FORMS: &'static str = "\"20ms\", \"uniform=10ms..30ms\", \"exponential=20ms\", \"median=20ms p99=200ms\" or \"fixed=20ms rare=500ms share=0.01\"";
}

impl From<Delay> for Spread {
    fn from(delay: Delay) -> Self {
        match delay {
            Delay::Fixed(length) => Self::Fixed(length),
            Delay::Uniform(from, to) => Self::Uniform(from, to),
            Delay::LogNormal { median, p99 } => Self::LogNormal { median, p99 },
        }
    }
}

/// Whether something that happens in this share of the cases happens now. A certain answer costs no draw.
pub(crate) fn happens(share: Ratio, chance: &mut Chance) -> bool {
    match u64::from(share.millionths()) {
        0 => false,
        MILLION => true,
        some => chance.below(MILLION) < some,
    }
}

fn times(length: Duration, factor: f64) -> Duration {
    // The cast stops at the largest number.
    Duration::from_nanos((length.as_nanos() as f64 * factor) as u64)
}

const MILLION: u64 = 1_000_000;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

/// Longer than anybody waits, and far from every overflow.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Vec<Duration> {
        let (spread, mut chance) = (Spread::parse(text).unwrap(), Chance::from_seed(3));
        let mut drawn: Vec<_> = (0..20_000).map(|_| spread.draw(&mut chance)).collect();
        drawn.sort_unstable();
        drawn
    }

    #[track_caller]
    fn check(text: &str, median_micros: std::ops::Range<u128>, p99_micros: std::ops::Range<u128>) {
        let drawn = drawn(text);
        let (median, p99) = (drawn[10_000].as_micros(), drawn[19_800].as_micros());
        assert!(median_micros.contains(&median), "{text}: median {median}");
        assert!(p99_micros.contains(&p99), "{text}: p99 {p99}");
    }

    #[test]
    fn each_spread_has_its_median_and_its_tail() {
        check("20ms", 20_000..20_001, 20_000..20_001);
        check("uniform=10ms..30ms", 19_600..20_400, 29_600..30_001);
        check("exponential=20ms", 13_500..14_200, 88_000..97_000);
        check("median=20ms p99=200ms", 19_300..20_700, 180_000..220_000);
        check("fixed=20ms rare=500ms share=0.02", 20_000..20_001, 500_000..500_001);
    }

    #[test]
    fn what_is_no_spread_is_refused() {
        for wrong in [
            "",
            "20",
            "fast",
            "uniform=3ms..1ms",
            "median=9ms p99=3ms",
            "fixed=1ms share=2",
            "mean=4ms",
        ] {
            // A bare number is in milliseconds, as in the lab's words.
            assert_eq!(Spread::parse(wrong).is_some(), wrong == "20", "{wrong}");
        }
    }
}
