//! The arithmetic of one limit: what a call does to the moment when the bucket is full again.

use super::{RateSettings, Slot};
use crate::time::{Timestamp, nanos};

/// The interval between calls, and how far ahead of it a burst may run, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// At least 1, rounded up: rather too slow than too fast.
    interval: u64,
    /// `burst - 1` intervals: I.371's limit.
    ahead: u64,
}

impl Pace {
    /// Stops at the ends of what a word holds, whatever the settings; checked ones are far from there.
    pub(super) fn new(settings: &RateSettings) -> Self {
        let rate = u64::from(settings.rate.max(1));
        let interval = nanos(settings.period).div_ceil(rate).max(1);
        let ahead = interval.saturating_mul(u64::from(settings.burst.saturating_sub(1)));
        Self { interval, ahead }
    }

    pub(super) const fn interval(self) -> u64 {
        self.interval
    }

    /// The first place from `now` on, in a bucket that is full again at `full_at`; an error if it is after `latest`.
    #[inline]
    pub(super) fn book(
        self,
        full_at: u64,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Slot, Timestamp> {
        let now = now.as_nanos();
        let at = Timestamp::from_nanos(full_at.saturating_sub(self.ahead).max(now));
        if at > latest.max(Timestamp::from_nanos(now)) {
            return Err(at);
        }
        Ok(Slot { at, full_at: full_at.max(now).saturating_add(self.interval) })
    }

    /// How many could go at `now`.
    pub(super) fn available(self, full_at: u64, now: Timestamp) -> u32 {
        let taken_for = full_at.saturating_sub(now.as_nanos());
        let Some(left) = self.ahead.checked_sub(taken_for) else { return 0 };
        u32::try_from(left / self.interval).unwrap_or(u32::MAX).saturating_add(1)
    }
}
