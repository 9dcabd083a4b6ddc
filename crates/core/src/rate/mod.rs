//! Rate: how many calls may go to a peer that has told us its limit, and when the next one may.
//!
//! A peer that limits us answers what is too much with 429, and that answer costs a round trip, a retry and often part
//! of the allowance itself. Whoever knows the limit doesn't send what will be refused. Three parts, each lock-free and
//! without allocation once it is made:
//!
//! - [`Rate`]: one limit for all calls, a single word. [`Rate::take`] for those that don't wait, [`Rate::take_by`] for those
//!   that do: they book the next free slot and sleep until then, first come, first served.
//! - [`KeyedRate`]: the same limit for each of many keys (a tenant, a token), in a table of fixed size.
//! - [`Pause`]: the peer said "not before then": nobody goes until its end, and those who waited don't return together.
//!
//! ```text
//!          burst                    each interval, period / rate, one more
//!   ┌───────────────┐                          ┌───┐
//!   call call call call ── until ──────────── call ─────── call
//!   └─ now            └ Err(until), or a slot booked there
//! ```
//!
//! Both limits at once: book the slot of [`Rate`] first, then take from [`KeyedRate`], and give the slot back if that
//! refuses. A pause and a rate: book with the pause's release as `now`.
//!
//! It doesn't count answers or learn limits; the concurrency limit and the throttle do that.

mod keyed;
mod pace;
mod pause;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

pub use keyed::{KeyedRate, KeyedRateSettings};
pub use pause::Pause;

use pace::Pace;

use crate::check::{Check, Problems};
use crate::time::Timestamp;

/// So many calls in each period, and so many of them at once. There is no default: only the peer's contract says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Calls in each period, 1 to 1,000,000.
    pub rate: u32,
    /// Length of the period, 1 ms to a day. Together with the rate at most one call each microsecond.
    pub period: Duration,
    /// Calls that may go at once after a rest, 1 to 1,000,000. One spaces all calls evenly; as many as the rate is
    /// what a peer with a fixed window allows, but up to twice the rate can then go in one of its windows.
    pub burst: u32,
}

impl Check for RateSettings {
    fn check(&self, problems: &mut Problems) {
        let count = 1..=COUNT_LIMIT;
        problems.require(count.contains(&self.rate), "rate", self.rate, "1 to 1000000");
        problems.require(count.contains(&self.burst), "burst", self.burst, "1 to 1000000");
        let period = PERIOD_LEAST..=PERIOD_MOST;
        problems.require(period.contains(&self.period), "period", self.period, "1ms to 1d");
        // What is wrong by itself is not told twice.
        if self.rate == 0 || !count.contains(&self.burst) || !period.contains(&self.period) {
            return;
        }
        problems.require(
            self.period.as_nanos() >= u128::from(self.rate) * INTERVAL_LEAST.as_nanos(),
            "rate",
            self.rate,
            "at most one call each microsecond of the period",
        );
        problems.require(
            self.period.as_nanos() * u128::from(self.burst)
                <= u128::from(self.rate) * PERIOD_MOST.as_nanos(),
            "burst",
            self.burst,
            "what the rate allows in a day, at most",
        );
    }
}

/// One limit that all calls share.
///
/// The generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A): the one word holds the
/// theoretical arrival time, that is when the bucket will be full again. A call that goes moves it by one interval; one
/// that would move it further ahead than the burst reaches is too early, and is told when it isn't. In no stretch of time
/// of length L go more than `burst + L × rate / period` calls, whatever the threads do.
///
/// ```
/// use core::time::Duration;
/// use mainstay_core::Timestamp;
/// use mainstay_core::rate::{Rate, RateSettings};
///
/// let rate = Rate::new(&RateSettings { rate: 10, period: Duration::from_secs(1), burst: 2 });
/// let now = Timestamp::from_millis(5_000);
/// assert_eq!([rate.take(now), rate.take(now)], [Ok(()), Ok(())]);
/// assert_eq!(rate.take(now), Err(Timestamp::from_millis(5_100)));
///
/// let slot = rate.take_by(now, Timestamp::from_millis(6_000)).unwrap();
/// assert_eq!(slot.at(), Timestamp::from_millis(5_100));
/// ```
///
/// A clone is the same limit.
#[derive(Clone, Debug)]
pub struct Rate {
    pace: Pace,
    full_at: Arc<Line>,
}

/// A call's place: it goes at [`Slot::at`], not before. Dropped, it stays used.
#[must_use = "a slot that isn't given back is used"]
#[derive(Debug, PartialEq, Eq)]
pub struct Slot {
    at: Timestamp,
    /// When the bucket would be full again after this call.
    full_at: u64,
}

impl Slot {
    /// When the call may go.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

impl Rate {
    /// A limit from which nothing has been taken.
    #[must_use]
    pub fn new(settings: &RateSettings) -> Self {
        Self { pace: Pace::new(settings), full_at: Arc::new(Line(AtomicU64::new(0))) }
    }

    /// The same limit by new settings. Both are one from then on: what was taken or booked here is missing there.
    #[must_use]
    pub fn renewed(&self, settings: &RateSettings) -> Self {
        Self { pace: Pace::new(settings), full_at: Arc::clone(&self.full_at) }
    }

    /// Takes one call's place, to go at once.
    ///
    /// # Errors
    ///
    /// When the next call may go, if nobody takes that place before.
    pub fn take(&self, now: Timestamp) -> Result<(), Timestamp> {
        self.take_by(now, now).map(|_| ())
    }

    /// Books the first free place from `now` on, which is at `latest` at the latest. `now` may lie ahead, such as the end
    /// of a [`Pause`]; nothing is then free for anybody before those that were booked.
    ///
    /// How many wait is bounded by this: each booking is one interval after the one before.
    ///
    /// # Errors
    ///
    /// The first free place, when that is after `latest`. Nothing is booked.
    pub fn take_by(&self, now: Timestamp, latest: Timestamp) -> Result<Slot, Timestamp> {
        // Relaxed: the word means only itself.
        let mut seen = self.full_at.0.load(Ordering::Relaxed);
        loop {
            let slot = self.pace.book(seen, now, latest)?;
            match self.full_at.0.compare_exchange_weak(
                seen,
                slot.full_at,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(slot),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Gives back a place that won't be used. True when it can be used by another.
    ///
    /// Only the last one comes back: behind any other, later places are booked already, and to move the word would give
    /// one of them away twice. Such a place passes unused, which is too little by one and never too much.
    pub fn give_back(&self, slot: Slot) -> bool {
        let before = slot.full_at.saturating_sub(self.pace.interval());
        let word = &self.full_at.0;
        word.compare_exchange(slot.full_at, before, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How many calls could go at `now`: 0 to the burst. To be shown, not to be acted on.
    #[must_use]
    pub fn available(&self, now: Timestamp) -> u32 {
        self.pace.available(self.full_at.0.load(Ordering::Relaxed), now)
    }
}

/// Keeps a word that all threads write from sharing its cache line with what they only read.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Of calls in a period, and at once.
const COUNT_LIMIT: u32 = 1_000_000;

/// The interval is rounded up to a whole nanosecond: at a microsecond that is at most a tenth of a percent too slow.
const INTERVAL_LEAST: Duration = Duration::from_micros(1);

const PERIOD_LEAST: Duration = Duration::from_millis(1);

/// The longest period that contracts name. A burst that takes longer than this to come back is a quota, and must outlive
/// a restart, which this doesn't.
const PERIOD_MOST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use alloc::string::String;
    use alloc::vec::Vec;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(rate: u32, burst: u32) -> Rate {
        Rate::new(&RateSettings { rate, period: SECOND, burst })
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn problems(rate: u32, period: Duration, burst: u32) -> Vec<String> {
        let problems = Checked::new(RateSettings { rate, period, burst }).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn all_bounds_of_the_settings_hold() {
        let day = PERIOD_MOST;
        assert_eq!(problems(1, SECOND, 1), [""; 0]);
        assert_eq!(problems(1_000_000, SECOND, 1_000_000), [""; 0]);
        assert_eq!(problems(1_000, day, 1_000), [""; 0]);
        assert_eq!(problems(0, SECOND, 0), ["rate", "burst"]);
        assert_eq!(problems(1_000_001, day, 1), ["rate"]);
        assert_eq!(problems(1, SECOND, 1_000_001), ["burst"]);
        assert_eq!(problems(1, Duration::from_micros(999), 1), ["period"]);
        assert_eq!(problems(1, day + Duration::from_nanos(1), 1), ["period"]);
    }

    #[test]
    fn more_than_a_call_each_microsecond_or_a_burst_of_more_than_a_day_is_refused() {
        assert_eq!(problems(1_000, Duration::from_millis(1), 1), [""; 0]);
        assert_eq!(problems(1_001, Duration::from_millis(1), 1), ["rate"]);
        assert_eq!(problems(1_000, PERIOD_MOST, 1_001), ["burst"]);
    }

    #[test]
    fn after_the_burst_calls_go_one_interval_apart() {
        let rate = rate(10, 3);
        assert_eq!([rate.take(at(0)), rate.take(at(0)), rate.take(at(0))], [Ok(()); 3]);
        assert_eq!(rate.take(at(0)), Err(at(100)));
        assert_eq!(rate.take(at(99)), Err(at(100)));
        assert_eq!(rate.take(at(100)), Ok(()));
        assert_eq!(rate.take(at(100)), Err(at(200)));
    }

    #[test]
    fn a_rest_fills_the_bucket_up_to_the_burst_and_no_further() {
        let rate = rate(10, 3);
        assert_eq!(rate.take(at(0)), Ok(()));
        let later = at(3_600_000);
        assert_eq!(rate.available(later), 3);
        assert_eq!((0..10).filter(|_| rate.take(later).is_ok()).count(), 3);
        assert_eq!(rate.available(later), 0);
        assert_eq!(rate.available(later + Duration::from_millis(250)), 2);
    }

    #[test]
    fn who_waits_books_the_next_place_and_who_comes_later_a_later_one() {
        let rate = rate(10, 1);
        let slots = [0, 100, 200].map(|_| rate.take_by(at(0), at(250)).map(|slot| slot.at()));
        assert_eq!(slots, [Ok(at(0)), Ok(at(100)), Ok(at(200))]);
        assert_eq!(rate.take_by(at(0), at(250)), Err(at(300)));
        // What is booked is booked before those who don't wait, too.
        assert_eq!(rate.take(at(299)), Err(at(300)));
        assert_eq!(rate.take(at(300)), Ok(()));
    }

    #[test]
    fn the_last_place_comes_back_and_an_earlier_one_passes_unused() {
        let rate = rate(10, 1);
        assert_eq!(rate.take(at(0)), Ok(()));
        let first = rate.take_by(at(0), at(1_000)).unwrap();
        let second = rate.take_by(at(0), at(1_000)).unwrap();
        assert!(!rate.give_back(first));
        assert!(rate.give_back(second));
        assert_eq!(rate.take_by(at(0), at(1_000)).map(|slot| slot.at()), Ok(at(200)));
    }

    #[test]
    fn a_place_given_back_after_a_rest_gives_nothing_beyond_the_burst() {
        let rate = rate(10, 2);
        let slot = rate.take_by(at(0), at(0)).unwrap();
        assert!(rate.give_back(slot));
        assert_eq!((0..5).filter(|_| rate.take(at(5_000)).is_ok()).count(), 2);
    }

    #[test]
    fn new_settings_know_what_was_taken() {
        let old = rate(10, 1);
        assert_eq!(old.take(at(0)), Ok(()));
        let new = old.renewed(&RateSettings { rate: 1, period: SECOND, burst: 1 });
        assert_eq!(new.take(at(50)), Err(at(100)));
        assert_eq!(new.take(at(100)), Ok(()));
        assert_eq!(old.take(at(500)), Err(at(1_100)));
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        let rate = rate(1, 1);
        assert_eq!(rate.take(Timestamp::MAX), Ok(()));
        assert_eq!(rate.available(Timestamp::MAX), 1);
    }

    #[test]
    fn an_interval_that_is_no_whole_number_is_rounded_up() {
        let rate = rate(3, 1);
        assert_eq!(rate.take(at(0)), Ok(()));
        assert_eq!(rate.take(at(0)), Err(Timestamp::from_nanos(333_333_334)));
    }
}
