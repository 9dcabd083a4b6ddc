//! Slow start: an endpoint that came back begins with a tenth of its share and grows to all of it in a straight line.
//!
//! Its caches, pools and compilers are cold, and a full share at once can bring it down again. The share is thrown as
//! dice when the endpoint is drawn, so nothing has to be rebuilt while it grows.

use core::time::Duration;

use super::moment::Moment;
use crate::time::{Timestamp, nanos};

/// Since when an endpoint warms up; none for one that is warm, as all are when the process starts.
#[derive(Debug)]
pub(super) struct Warming(Moment);

impl Warming {
    pub(super) const fn warm() -> Self {
        Self(Moment::none())
    }

    /// Begins at `from`, which may be still to come.
    pub(super) fn begin(&self, from: Timestamp) {
        self.0.set(from);
    }

    /// The share at `now`, in ten-thousandths: 1,000 to 10,000.
    pub(super) fn share(&self, slow_start: Duration, now: Timestamp) -> u64 {
        let (Some(from), length) = (self.0.get(), nanos(slow_start)) else { return ALL };
        let gone = now.as_nanos().saturating_sub(from.as_nanos());
        if gone >= length {
            return ALL;
        }
        let grown = u128::from(gone) * u128::from(ALL - FIRST) / u128::from(length);
        FIRST + grown as u64
    }

    /// Whether it passes this time; `dice` gives random bits.
    #[inline]
    pub(super) fn passes(
        &self,
        slow_start: Duration,
        now: Timestamp,
        dice: impl FnOnce() -> u64,
    ) -> bool {
        let share = if self.0.get().is_none() { ALL } else { self.share(slow_start, now) };
        share == ALL || (u128::from(dice()) * u128::from(ALL)) >> 64 < u128::from(share)
    }

    /// Forgets a start that is over, so that the hot path has nothing to compute.
    pub(super) fn tidy(&self, slow_start: Duration, now: Timestamp) {
        self.0.end(now - slow_start);
    }
}

/// All of it, in ten-thousandths.
const ALL: u64 = 10_000;

/// The first share. Less would leave a lone endpoint's successes too rare to learn from.
const FIRST: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_share_grows_from_a_tenth_to_all_in_a_straight_line() {
        let warming = Warming::warm();
        assert_eq!(warming.share(S, Timestamp::ZERO), 10_000);
        warming.begin(Timestamp::from_millis(1000));
        let shares = [500, 1000, 1500, 1900, 2000, 9000]
            .map(|millis| warming.share(S, Timestamp::from_millis(millis)));
        assert_eq!(shares, [1000, 1000, 5500, 9100, 10_000, 10_000]);
        assert_eq!(warming.share(Duration::ZERO, Timestamp::from_millis(1000)), 10_000);
    }

    #[test]
    fn the_dice_follow_the_share() {
        let (warming, mut chance) = (Warming::warm(), Chance::from_seed(5));
        warming.begin(Timestamp::from_millis(1000));
        let now = Timestamp::from_millis(1500);
        let passed = (0..10_000).filter(|_| warming.passes(S, now, || chance.next_u64())).count();
        assert!((5_300..5_700).contains(&passed), "{passed}");
    }

    #[test]
    fn only_a_start_that_is_over_is_forgotten() {
        let warming = Warming::warm();
        warming.begin(Timestamp::from_millis(1000));
        warming.tidy(S, Timestamp::from_millis(1999));
        assert!(warming.0.get().is_some());
        warming.tidy(S, Timestamp::from_millis(2000));
        assert!(warming.0.get().is_none());
    }
}
