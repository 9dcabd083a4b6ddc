//! The quantities that rules are made of: lengths of time, shares, and delays drawn by chance.

use std::time::Duration;

use crate::rng::Rng;

/// A share from nothing to all, exact to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    millionths: u32,
}

impl Ratio {
    /// All of them.
    pub const ALL: Self = Self { millionths: ONE };

    /// The share of this many millionths, at most all.
    pub fn from_millionths(millionths: u32) -> Self {
        Self { millionths: millionths.min(ONE) }
    }

    /// In millionths, `0..=1_000_000`.
    pub fn millionths(self) -> u32 {
        self.millionths
    }

    /// Reads `0.5`, `1` or `.25`.
    pub fn parse(text: &str) -> Option<Self> {
        let value: f64 = text.parse().ok()?;
        let millionths = (value * f64::from(ONE)).round();
        (0.0..=f64::from(ONE))
            .contains(&millionths)
            .then_some(Self { millionths: millionths as u32 })
    }

    /// Whether this time it happens. A certain answer costs no draw, so that it doesn't shift later ones.
    pub(crate) fn draw(self, rng: &mut Rng) -> bool {
        match self.millionths {
            0 => false,
            ONE => true,
            some => rng.next_u64() % u64::from(ONE) < u64::from(some),
        }
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self::ALL
    }
}

/// How long an answer is delayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// Always this long.
    Fixed(Duration),
    /// Anything from the first to the second, all equally likely.
    Uniform(Duration, Duration),
    /// Mostly about the median, with a long tail: what real servers show.
    LogNormal {
        /// Half of the answers take longer.
        median: Duration,
        /// One in a hundred takes longer.
        p99: Duration,
    },
}

impl Delay {
    pub(crate) fn draw(self, rng: &mut Rng) -> Duration {
        let drawn = match self {
            Self::Fixed(delay) => delay,
            Self::Uniform(from, to) => {
                from.saturating_add(to.saturating_sub(from).mul_f64(rng.next_unit()))
            }
            Self::LogNormal { median, p99 } => {
                // p99 / median = exp(sigma * z99); a normal number comes from two uniform ones (Box and Muller).
                let spread = (p99.as_secs_f64() / median.as_secs_f64().max(1e-9)).max(1.0);
                let sigma = spread.ln() / Z99;
                let radius = (-2.0 * (1.0 - rng.next_unit()).ln()).sqrt();
                let normal = radius * (std::f64::consts::TAU * rng.next_unit()).cos();
                let factor = (sigma * normal).exp();
                Duration::try_from_secs_f64(median.as_secs_f64() * factor).unwrap_or(LONGEST)
            }
        };
        drawn.min(LONGEST)
    }
}

/// Reads `250` (milliseconds), `250ms`, `1.5s` or `2m`, up to a day.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let seconds_each = match &text[digits.len()..] {
        "" | "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let number: f64 = digits.parse().ok()?;
    // Whole microseconds: what was written is what is shown again.
    let micros = (number * seconds_each * 1e6).round();
    let length = Duration::from_micros(if micros <= 1e15 { micros as u64 } else { return None });
    (length <= LONGEST).then_some(length)
}

/// Reads `300` (bytes), `64KiB`, `1.5MB`; units of 1024 are written with an `i`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(scale as u64).filter(|_| !digits.starts_with('+'));
    }
    if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let bytes = digits.parse::<f64>().ok()? * scale;
    (bytes.fract() == 0.0 && bytes < 1e15).then_some(bytes as u64)
}

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

const ONE: u32 = 1_000_000;

/// A day: longer than any lab is watched, and far from every overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        assert_eq!(parse_duration("250"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        for wrong in ["", "s", "-1s", "1d", "1e3", "9999999999999999999h", "25h", "nan", "inf"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!(parse_size("300"), Some(300));
        assert_eq!(parse_size("300KB"), Some(300_000));
        assert_eq!(parse_size("300kB"), Some(300_000));
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("1.5MiB"), Some(1_572_864));
        for wrong in ["", "B", "-1", "+1", "1kb", "1.5", "1e3", "99999999999999999999", "9e9GB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_ratio_is_a_share_and_nothing_else() {
        assert_eq!(Ratio::parse("0.25"), Some(Ratio::from_millionths(250_000)));
        for wrong in ["1.1", "-0.1", "half", "NaN", "inf", ""] {
            assert_eq!(Ratio::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_ratio_is_met_in_the_long_run() {
        let mut rng = Rng::new(7);
        let hits = (0..10_000).filter(|_| Ratio::from_millionths(300_000).draw(&mut rng)).count();
        assert!((2800..3200).contains(&hits), "{hits}");
    }

    #[test]
    fn a_lognormal_delay_has_its_median_and_its_tail() {
        let mut rng = Rng::new(7);
        let (median, p99) = (Duration::from_millis(100), Duration::from_millis(900));
        let mut drawn: Vec<_> =
            (0..10_000).map(|_| Delay::LogNormal { median, p99 }.draw(&mut rng)).collect();
        drawn.sort();
        assert!((90..110).contains(&drawn[5_000].as_millis()), "{:?}", drawn[5_000]);
        assert!((750..1080).contains(&drawn[9_900].as_millis()), "{:?}", drawn[9_900]);
    }

    #[test]
    fn a_uniform_delay_stays_between_its_ends() {
        let mut rng = Rng::new(7);
        let (from, to) = (Duration::from_millis(10), Duration::from_millis(20));
        assert!((0..1000).all(|_| (from..=to).contains(&Delay::Uniform(from, to).draw(&mut rng))));
    }
}
