//! Backoff: how long to wait before the next attempt.

use core::time::Duration;

use crate::chance::Chance;
use crate::check::{Check, Problems};

/// How the wait grows from attempt to attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// base, base × factor, base × factor², ...; the factor in hundredths (200 is 2.0), 100 to 1000.
    Exponential {
        /// Hundredths.
        factor_percent: u16,
    },
    /// base, 2 × base, 3 × base, ...
    Linear,
    /// base, base, base, ...
    Constant,
}

/// How the wait is spread, so that clients don't come back together (AWS architecture blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// None. For tests; a fleet without jitter comes back as one.
    None,
    /// Uniform from 0 to the wait.
    Full,
    /// Half of the wait, and uniform from 0 to the other half.
    Equal,
    /// Uniform from base to three times the last wait, capped; the growth is then left out of account.
    Decorrelated,
}

/// How long to wait between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// Default exponential, × 2.
    pub growth: Growth,
    /// First wait before jitter. 1 ms to 60 s, default 50 ms.
    pub base: Duration,
    /// Longest wait; applied before jitter, so that capped waits still spread. At least base, at most 1 h, default 20 s.
    pub cap: Duration,
    /// Default full.
    pub jitter: Jitter,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            growth: Growth::Exponential { factor_percent: 200 },
            base: Duration::from_millis(50),
            cap: Duration::from_secs(20),
            jitter: Jitter::Full,
        }
    }
}

impl Check for BackoffSettings {
    fn check(&self, problems: &mut Problems) {
        let _ = problems;
    }
}

/// The wait before retry number `retry` (1 is the first), given the wait before the last one (zero if none).
#[must_use]
pub fn wait(
    settings: &BackoffSettings,
    retry: u8,
    last: Duration,
    chance: &mut Chance,
) -> Duration {
    let _ = (settings, retry, last, chance);
    todo!()
}

/// The wait after a hint of the peer: never shorter than `hint` or `own`, with up to a tenth of it (at most 5 s, at least 10 ms) of jitter
/// on top, so that those who were told the same don't come back together.
#[must_use]
pub fn wait_after_hint(hint: Duration, own: Duration, chance: &mut Chance) -> Duration {
    let _ = (hint, own, chance);
    todo!()
}
