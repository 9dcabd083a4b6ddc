//! A timeout for attempts that follows what the endpoint usually takes.
//!
//! A fixed timeout is a guess that is wrong for every endpoint but one. Where it follows a high percentile, an attempt that
//! hangs is known as such as soon as nearly every answer would have come (Amazon Builders' Library, *Timeouts, retries and
//! backoff with jitter*: choose the share of false timeouts, and take that percentile).

use core::time::Duration;

use crate::check::{Check, Problems};
use crate::upstream::Percentile;

/// How an attempt's timeout follows the endpoint's latency. The policy's `attempt_timeout` is its cap, and holds alone
/// while too few answers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveTimeout {
    /// Which percentile is followed. p90 or higher, default p99.9.
    pub percentile: Percentile,
    /// What it is multiplied by, in percent. 100 to 1000, default 200. Too low: a small change for the slower is a wave of
    /// timeouts; too high: a hang costs that long.
    pub times_percent: u16,
    /// The least timeout. At least 1 ms, default 50 ms.
    pub floor: Duration,
}

impl Default for AdaptiveTimeout {
    fn default() -> Self {
        Self { percentile: Percentile::P999, times_percent: 200, floor: Duration::from_millis(50) }
    }
}

impl AdaptiveTimeout {
    /// The timeout while the percentile is at `observed`.
    #[must_use]
    pub fn timeout(&self, observed: Option<Duration>, cap: Duration) -> Duration {
        match observed {
            Some(observed) => {
                let timeout = observed.saturating_mul(u32::from(self.times_percent)) / 100;
                timeout.max(self.floor).min(cap)
            }
            None => cap,
        }
    }
}

impl Check for AdaptiveTimeout {
    fn check(&self, problems: &mut Problems) {
        problems.require(
            self.percentile >= Percentile::P90,
            "percentile",
            self.percentile.code(),
            "p90 or higher: what is cut off is done again",
        );
        problems.require(
            (100..=1000).contains(&self.times_percent),
            "times",
            self.times_percent,
            "100 to 1000 percent",
        );
        problems.require(
            self.floor >= Duration::from_millis(1),
            "floor",
            self.floor,
            "1ms to attempt_timeout",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn it_follows_the_percentile_between_floor_and_cap() {
        let adaptive = AdaptiveTimeout::default();
        let timeout = |observed| adaptive.timeout(Some(Duration::from_millis(observed)), CAP);
        assert_eq!(timeout(300), Duration::from_millis(600));
        assert_eq!(timeout(1), Duration::from_millis(50));
        assert_eq!(timeout(9_000), CAP);
        assert_eq!(adaptive.timeout(None, CAP), CAP);
    }

    #[test]
    fn each_rule_is_told() {
        let wrong = AdaptiveTimeout {
            percentile: Percentile::P50,
            times_percent: 99,
            floor: Duration::ZERO,
        };
        assert_eq!(Checked::new(wrong).map(|_| ()).unwrap_err().len(), 3);
        assert!(Checked::new(AdaptiveTimeout::default()).is_ok());
    }
}
