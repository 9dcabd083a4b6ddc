//! Retry: whether a broken attempt is made again, and when.
//!
//! [`backoff`] says how long to wait, [`retry_after`] reads what the peer asked for, and [`RetrySettings`] bounds
//! both. "For ever" can't be expressed: [`MaxAttempts`] ends at 10.

pub mod backoff;
pub mod retry_after;

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
    }
}
