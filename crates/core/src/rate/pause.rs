//! The pause that a peer asked for: nobody goes before its end, and they don't return all at once.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::chance::Chance;
use crate::time::{Timestamp, nanos};

/// Until when nothing is to be sent, for everybody who shares it.
///
/// One word, the end (48 bits, whole milliseconds, rounded up) above the spread (16 bits, milliseconds): the later
/// end is the greater number, so a hint that ends earlier changes nothing. A peer that says "ten seconds" to one call
/// and "one" to the next means both, and only the longer one keeps both.
///
/// ```
/// use core::time::Duration;
/// use mainstay_core::{Chance, Timestamp, rate::Pause};
///
/// let (pause, mut chance) = (Pause::new(), Chance::from_seed(1));
/// let now = Timestamp::from_millis(1_000);
/// assert!(pause.begin(Duration::from_secs(10), now));
/// assert!(!pause.begin(Duration::from_secs(1), now));
/// assert_eq!(pause.until(now), Some(Timestamp::from_millis(11_000)));
/// let released = pause.release_at(now, &mut chance).unwrap();
/// assert!(released >= Timestamp::from_millis(11_000));
/// assert!(released <= Timestamp::from_millis(12_000));
/// ```
#[derive(Debug, Default)]
pub struct Pause(AtomicU64);

impl Pause {
    /// No pause.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Stays away for `wait` from `now` on, a day at most. True when that ends later than what was known before.
    pub fn begin(&self, wait: Duration, now: Timestamp) -> bool {
        let wait = wait.min(LONGEST);
        if wait.is_zero() {
            return false;
        }
        let until = nanos(wait).saturating_add(now.as_nanos()).div_ceil(MILLI);
        // Shifting can't lose anything: the end of time is below 2^45 milliseconds.
        let word = until << SPREAD_BITS | spread_millis(wait);
        self.0.fetch_max(word, Ordering::Relaxed) >> SPREAD_BITS < until
    }

    /// The end of the pause; `None` when there is none at `now`.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = Timestamp::from_millis(self.0.load(Ordering::Relaxed) >> SPREAD_BITS);
        (until > now).then_some(until)
    }

    /// When this one caller may go: some time after the end, another one for each; `None` when there is no pause.
    ///
    /// Evenly spread over a tenth of the pause, at least 50 ms and at most 5 s. Whoever comes after the end may go at
    /// once: those come one by one. With a known [`super::Rate`], book a place from [`Pause::until`] on in place of this.
    #[must_use]
    pub fn release_at(&self, now: Timestamp, chance: &mut Chance) -> Option<Timestamp> {
        let word = self.0.load(Ordering::Relaxed);
        let until = Timestamp::from_millis(word >> SPREAD_BITS);
        let spread = Duration::from_millis(word & SPREAD_MASK);
        (until > now).then(|| until + chance.up_to(spread))
    }
}

fn spread_millis(wait: Duration) -> u64 {
    let spread = (wait / 10).clamp(SPREAD_LEAST, SPREAD_MOST);
    u64::try_from(spread.as_millis()).unwrap_or(SPREAD_MASK).min(SPREAD_MASK)
}

/// What a peer's hint is believed at most. A mistake there must not shut a lane for ever.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// About a round trip across the world's half: below it, all arrive together anyway.
const SPREAD_LEAST: Duration = Duration::from_millis(50);

/// Longer adds waiting and takes off little: AWS's clients add as much to a server's hint.
const SPREAD_MOST: Duration = Duration::from_secs(5);

const SPREAD_BITS: u32 = 16;
const SPREAD_MASK: u64 = (1 << SPREAD_BITS) - 1;

/// Nanoseconds in a millisecond.
const MILLI: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const NOW: Timestamp = Timestamp::from_millis(60_000);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn no_hint_shortens_a_pause() {
        let pause = Pause::new();
        assert_eq!(pause.until(NOW), None);
        assert!(pause.begin(seconds(10), NOW));
        assert!(!pause.begin(seconds(9), NOW));
        assert!(!pause.begin(seconds(8), NOW + seconds(2)));
        assert_eq!(pause.until(NOW + seconds(2)), Some(NOW + seconds(10)));
        assert!(pause.begin(seconds(9), NOW + seconds(2)));
        assert_eq!(pause.until(NOW + seconds(2)), Some(NOW + seconds(11)));
    }

    #[test]
    fn a_pause_ends_by_itself_at_its_end() {
        let pause = Pause::new();
        assert!(pause.begin(Duration::from_nanos(1), NOW));
        assert_eq!(pause.until(NOW), Some(NOW + Duration::from_millis(1)));
        assert_eq!(pause.until(NOW + Duration::from_millis(1)), None);
        assert_eq!(pause.release_at(NOW + seconds(1), &mut Chance::from_seed(1)), None);
    }

    #[test]
    fn a_hint_of_nothing_is_no_pause_and_none_lasts_longer_than_a_day() {
        let pause = Pause::new();
        assert!(!pause.begin(Duration::ZERO, NOW));
        assert_eq!(pause.until(Timestamp::ZERO), None);
        assert!(pause.begin(Duration::MAX, NOW));
        assert_eq!(pause.until(NOW), Some(NOW + seconds(86_400)));
        assert!(pause.begin(Duration::MAX, Timestamp::MAX));
    }

    #[test]
    fn those_who_waited_return_evenly_over_a_tenth_of_the_pause() {
        for (wait, spread) in [(100, 50), (20_000, 2_000), (3_600_000, 5_000)] {
            let (pause, mut chance) = (Pause::new(), Chance::from_seed(3));
            assert!(pause.begin(Duration::from_millis(wait), NOW));
            let until = NOW + Duration::from_millis(wait);
            let mut after: Vec<Duration> = (0..1_000)
                .filter_map(|_| pause.release_at(NOW, &mut chance))
                .map(|release| release.since(until))
                .collect();
            after.sort();
            let spread = Duration::from_millis(spread);
            assert_eq!(after.len(), 1_000);
            assert!(after[999] <= spread && after[999] > spread * 9 / 10);
            for tenth in 1..10_u32 {
                let share = after[tenth as usize * 100].as_secs_f64() / spread.as_secs_f64();
                assert!((share - f64::from(tenth) / 10.0).abs() < 0.05, "{tenth}: {share}");
            }
        }
    }
}
