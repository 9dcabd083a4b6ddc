//! Retry: whether a broken attempt is made again, and when.
//!
//! [`backoff`] says how long to wait, [`rate_limit`] reads what the peer asked for ([`retry_after`] is its first field), and
//! [`RetrySettings`] bounds both. "For ever" can't be expressed: [`MaxAttempts`] ends at 10.

pub mod backoff;
pub(crate) mod http_date;
mod moments;
pub mod rate_limit;
pub mod retry_after;
mod structured;

use core::time::Duration;

pub use backoff::{BackoffSettings, Growth, Jitter};

use crate::check::{Check, Problems};

/// How many attempts a call may make in all, the first included: 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxAttempts(u8);

impl MaxAttempts {
    /// The most that can be configured. Beyond it, attempts only add load: with one failure in two, ten attempts
    /// leave one call in a thousand unanswered.
    pub const LIMIT: u8 = 10;

    /// `None` unless `count` is 1 to 10.
    #[must_use]
    pub const fn new(count: u8) -> Option<Self> {
        if count >= 1 && count <= Self::LIMIT { Some(Self(count)) } else { None }
    }

    /// The count, the first attempt included.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }
}

/// When and how often a call is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts in all, the first included. Default 3.
    pub max_attempts: MaxAttempts,
    /// Waiting between attempts.
    pub backoff: BackoffSettings,
    /// Base of the waiting after throttling without a hint. Default 1 s.
    pub throttled_base: Duration,
    /// Whether a request that isn't idempotent goes again when the peer says that it did nothing. Default true.
    pub repeat_refused: bool,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_attempts: MaxAttempts(3),
            backoff: BackoffSettings::default(),
            throttled_base: Duration::from_secs(1),
            repeat_refused: true,
        }
    }
}

impl Check for RetrySettings {
    fn check(&self, problems: &mut Problems) {
        problems.within("backoff", &self.backoff);
        let throttled = THROTTLED_BASE_LEAST..=THROTTLED_BASE_MOST;
        problems.require(
            throttled.contains(&self.throttled_base),
            "throttled_base",
            self.throttled_base,
            "1ms to 1m",
        );
    }
}

/// The bounds of the other base.
const THROTTLED_BASE_LEAST: Duration = Duration::from_millis(1);

/// A peer that knows that it needs longer can say so by `Retry-After`.
const THROTTLED_BASE_MOST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn problems(change: impl FnOnce(&mut RetrySettings)) -> Vec<String> {
        let mut settings = RetrySettings::default();
        change(&mut settings);
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn the_defaults_are_within_their_own_rules() {
        assert!(problems(|_| {}).is_empty());
    }

    #[test]
    fn both_bounds_of_the_throttled_base_hold() {
        let minute = Duration::from_secs(60);
        let milli = Duration::from_millis(1);
        let nano = Duration::from_nanos(1);
        assert_eq!(problems(|s| s.throttled_base = milli), [""; 0]);
        assert_eq!(problems(|s| s.throttled_base = milli - nano), ["throttled_base"]);
        assert_eq!(problems(|s| s.throttled_base = minute), [""; 0]);
        assert_eq!(problems(|s| s.throttled_base = minute + nano), ["throttled_base"]);
    }

    #[test]
    fn problems_of_the_backoff_name_their_place() {
        assert_eq!(problems(|s| s.backoff.base = Duration::ZERO), ["backoff.base"]);
    }

    #[test]
    fn attempts_are_one_to_ten() {
        let counts = |n| MaxAttempts::new(n).map(MaxAttempts::count);
        assert_eq!([0, 1, 10, 11].map(counts), [None, Some(1), Some(10), None]);
    }
}
