//! The throttle: a client that stops itself when most of what it sends is refused.
//!
//! A refusal isn't free for the peer either; in an overload, saying no can be all that it still does. So the client
//! refuses a share of its own calls before they are sent ("Handling Overload", Site Reliability Engineering, chapter 21,
//! client-side throttling), by what it saw in a sliding window of two minutes:
//!
//! ```text
//!   reject with probability   max(0, (requests - K × accepts) / (requests + 1))
//! ```
//!
//! `requests` counts what callers wanted, sent or not, as it begins; `accepts` what the peer did. With K = 2 the peer sees up to
//! twice what it accepts, enough to notice when it recovers.
//!
//! Three things are added:
//!
//! - It needs a minimum of requests before it bites, and lets one call through each second whatever the odds (as go-zero
//!   does), so that it can't lock anybody out for ever.
//! - The formula alone recovers slowly: accepts grow by a factor e in half a window. At 100 calls a second, an outage as long as
//!   the window would be felt for four minutes and a half after its end. So it is also asked of the last two of the 24 buckets, and
//!   the milder of both answers counts. In a steady state they say the same.
//! - A bucket that is full halves both its counts and so keeps their ratio. Nothing grows for ever.
//!
//! Requests are counted when they begin and accepts when the answer's head comes. Where that takes a good part of the window,
//! as long polls or some generators of text do, what merely waits looks refused: don't switch it on there.
//! It doesn't know keys, calls or retries; the budget bounds those.

use core::array;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::chance::Chance;
use crate::check::{Check, Problems};
use crate::ratio::Ratio;
use crate::time::{Timestamp, nanos};

/// When a client refuses its own calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// K in hundredths, 110 to 1000; default 200. What the peer may be sent, in percent of what it accepts. Lower
    /// spares the peer more, and refuses calls that it might have taken; higher refuses less.
    pub multiplier_percent: u16,
    /// Length of the window, counted in 24 buckets, 10 s to 10 min. Default two minutes.
    pub window: Duration,
    /// Requests in the window below which nothing is refused, 1 to 10,000. Default 10.
    pub minimum: u32,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self { multiplier_percent: 200, window: Duration::from_secs(120), minimum: 10 }
    }
}

impl Check for ThrottleSettings {
    fn check(&self, problems: &mut Problems) {
        problems.require(
            (110..=1_000).contains(&self.multiplier_percent),
            "multiplier_percent",
            self.multiplier_percent,
            "110 to 1000",
        );
        let window = Duration::from_secs(10)..=Duration::from_secs(600);
        problems.require(window.contains(&self.window), "window", self.window, "10s to 10m");
        problems.require(
            (1..=10_000).contains(&self.minimum),
            "minimum",
            self.minimum,
            "1 to 10000",
        );
    }
}

/// The throttle of one peer. Lock-free; a call costs 24 loads and one compare-and-swap.
///
/// ```
/// use mainstay_core::throttle::{Throttle, ThrottleSettings};
/// use mainstay_core::{Chance, Timestamp};
///
/// let throttle = Throttle::new(&ThrottleSettings::default());
/// let mut chance = Chance::from_seed(1);
/// // Nothing is accepted: of a thousand calls within a millisecond a handful is sent.
/// let now = Timestamp::from_millis(1);
/// let sent = (0..1_000).filter(|_| throttle.admit(now, &mut chance)).count();
/// assert!((10..30).contains(&sent));
/// ```
#[derive(Debug)]
pub struct Throttle {
    /// K in hundredths.
    multiplier: u64,
    minimum: u64,
    bucket_nanos: u64,
    buckets: [AtomicU64; BUCKETS as usize],
    /// From when on the next call is let through whatever the odds.
    pass_at: AtomicU64,
}

/// What a throttle has seen, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleLevel {
    /// Requests in the window, sent or refused.
    pub requests: u64,
    /// What the peer accepted of them.
    pub accepts: u64,
    /// The share of calls that is refused now.
    pub refused: Ratio,
}

impl Throttle {
    /// A throttle that has seen nothing.
    #[must_use]
    pub fn new(settings: &ThrottleSettings) -> Self {
        Self {
            multiplier: settings.multiplier_percent.into(),
            minimum: settings.minimum.into(),
            bucket_nanos: (nanos(settings.window) / BUCKETS).max(1),
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            pass_at: AtomicU64::new(0),
        }
    }

    /// Whether a call may be sent; it is counted either way.
    pub fn admit(&self, now: Timestamp, chance: &mut Chance) -> bool {
        let odds = self.odds(now);
        self.count(REQUEST, now);
        !odds.happens(chance) || self.passes(now)
    }

    /// The peer took a call: it answered, and not that it is too busy.
    pub fn on_accept(&self, now: Timestamp) {
        self.count(ACCEPT, now);
    }

    /// What was seen, and what comes of it.
    #[must_use]
    pub fn level(&self, now: Timestamp) -> ThrottleLevel {
        let (window, _) = self.counts(now);
        ThrottleLevel {
            requests: window.requests,
            accepts: window.accepts,
            refused: self.odds(now).ratio(),
        }
    }

    fn odds(&self, now: Timestamp) -> Odds {
        let (window, recent) = self.counts(now);
        let (window, recent) = (self.odds_of(window), self.odds_of(recent));
        if recent.is_milder_than(window) { recent } else { window }
    }

    fn odds_of(&self, counts: Counts) -> Odds {
        if counts.requests < self.minimum {
            return Odds { refused: 0, of: 1 };
        }
        let excess = (counts.requests * 100).saturating_sub(self.multiplier * counts.accepts);
        Odds { refused: excess, of: (counts.requests + 1) * 100 }
    }

    /// The call that goes whatever the odds, once in [`PASS_EVERY`].
    fn passes(&self, now: Timestamp) -> bool {
        let pass_at = self.pass_at.load(Ordering::Relaxed);
        if now.as_nanos() < pass_at {
            return false;
        }
        let next = (now + PASS_EVERY).as_nanos();
        let swap =
            self.pass_at.compare_exchange(pass_at, next, Ordering::Relaxed, Ordering::Relaxed);
        swap.is_ok()
    }

    /// The counts of the window that ends at `now`, and of its last [`RECENT`] buckets.
    ///
    /// The buckets are read one after another, so a count of this very moment may be in or out; no decision here
    /// hangs on one.
    fn counts(&self, now: Timestamp) -> (Counts, Counts) {
        let (mut window, mut recent) = (Counts::default(), Counts::default());
        let newest = self.slot_of(now);
        for slot in newest.saturating_sub(BUCKETS - 1)..=newest {
            let word = self.bucket(slot).load(Ordering::Relaxed);
            if lap(word) == lap_of(slot) {
                window.add(word);
                if newest - slot < RECENT {
                    recent.add(word);
                }
            }
        }
        (window, recent)
    }

    fn count(&self, what: u64, now: Timestamp) {
        let slot = self.slot_of(now);
        let lap_now = lap_of(slot);
        let next = |word: u64| {
            let current = if lap(word) == lap_now || lap(word) == lap_after(lap_now) {
                // Or it belongs to the lap after ours: somebody with a later `now` was faster, and it is counted there.
                if requests(word) == COUNT_MASK || word & COUNT_MASK == COUNT_MASK {
                    halved(word)
                } else {
                    word
                }
            } else {
                lap_now << LAP_SHIFT
            };
            Some(current + what)
        };
        // Never refused: `next` always has an answer.
        let _ = self.bucket(slot).fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn slot_of(&self, now: Timestamp) -> u64 {
        now.as_nanos() / self.bucket_nanos
    }

    fn bucket(&self, slot: u64) -> &AtomicU64 {
        &self.buckets[(slot % BUCKETS) as usize]
    }
}

/// A probability, as a fraction.
#[derive(Clone, Copy, Debug)]
struct Odds {
    refused: u64,
    of: u64,
}

impl Odds {
    fn happens(self, chance: &mut Chance) -> bool {
        self.refused > 0 && chance.below(self.of) < self.refused
    }

    fn is_milder_than(self, other: Self) -> bool {
        u128::from(self.refused) * u128::from(other.of)
            < u128::from(other.refused) * u128::from(self.of)
    }

    fn ratio(self) -> Ratio {
        Ratio::from_share(self.refused as f64 / self.of as f64).unwrap_or(Ratio::ZERO)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    accepts: u64,
}

impl Counts {
    fn add(&mut self, word: u64) {
        self.requests += requests(word);
        self.accepts += word & COUNT_MASK;
    }
}

// A bucket: lap (18 bits) | requests (23 bits) | accepts (23 bits). A lap repeats after 2^18 windows, a month at the
// shortest: a bucket that sleeps for exactly that long shows its old counts for one window.

const COUNT_BITS: u32 = 23;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const LAP_SHIFT: u32 = 2 * COUNT_BITS;
const LAP_MASK: u64 = u64::MAX >> LAP_SHIFT;

const ACCEPT: u64 = 1;
const REQUEST: u64 = 1 << COUNT_BITS;

const fn lap(word: u64) -> u64 {
    word >> LAP_SHIFT
}

const fn lap_of(slot: u64) -> u64 {
    (slot / BUCKETS) & LAP_MASK
}

const fn lap_after(lap: u64) -> u64 {
    (lap + 1) & LAP_MASK
}

const fn requests(word: u64) -> u64 {
    (word >> COUNT_BITS) & COUNT_MASK
}

/// The same lap with half of each count.
const fn halved(word: u64) -> u64 {
    (lap(word) << LAP_SHIFT) | ((requests(word) / 2) << COUNT_BITS) | ((word & COUNT_MASK) / 2)
}

/// The window slides by a twenty-fourth: five seconds of two minutes.
const BUCKETS: u64 = 24;

/// The last bucket is seldom full, so two are asked: five to ten seconds of two minutes.
const RECENT: u64 = 2;

const PASS_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn throttle(multiplier_percent: u16) -> Throttle {
        Throttle::new(&ThrottleSettings { multiplier_percent, ..Default::default() })
    }

    /// A second of a hundred calls, of which the peer takes at most `capacity`. How many were sent.
    fn second(throttle: &Throttle, second: u64, capacity: u64, chance: &mut Chance) -> u64 {
        let mut sent = 0;
        for call in 0..100 {
            let now = Timestamp::from_millis(second * 1_000 + call * 10);
            if throttle.admit(now, chance) {
                sent += 1;
                if sent <= capacity {
                    throttle.on_accept(now);
                }
            }
        }
        sent
    }

    fn seconds(
        throttle: &Throttle,
        seconds: core::ops::Range<u64>,
        capacity: u64,
        chance: &mut Chance,
    ) -> Vec<u64> {
        seconds.map(|n| second(throttle, n, capacity, chance)).collect()
    }

    fn problems(change: impl FnOnce(&mut ThrottleSettings)) -> Vec<String> {
        let mut settings = ThrottleSettings::default();
        change(&mut settings);
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn all_bounds_of_the_settings_hold() {
        let window = Duration::from_secs;
        assert_eq!(problems(|_| {}), [""; 0]);
        assert_eq!(problems(|s| s.multiplier_percent = 110), [""; 0]);
        assert_eq!(problems(|s| s.multiplier_percent = 109), ["multiplier_percent"]);
        assert_eq!(problems(|s| s.multiplier_percent = 1_001), ["multiplier_percent"]);
        assert_eq!(problems(|s| s.window = window(10)), [""; 0]);
        assert_eq!(problems(|s| s.window = window(9)), ["window"]);
        assert_eq!(problems(|s| s.window = window(601)), ["window"]);
        assert_eq!(problems(|s| s.minimum = 0), ["minimum"]);
        assert_eq!(problems(|s| s.minimum = 10_001), ["minimum"]);
    }

    #[test]
    fn what_is_accepted_is_never_refused() {
        let (throttle, mut chance) = (throttle(110), Chance::from_seed(1));
        assert!(seconds(&throttle, 0..300, 100, &mut chance).iter().all(|&sent| sent == 100));
        assert_eq!(throttle.level(Timestamp::from_millis(299_999)).refused, Ratio::ZERO);
    }

    #[test]
    fn below_the_minimum_nothing_is_refused() {
        let (throttle, mut chance) = (throttle(200), Chance::from_seed(1));
        let now = Timestamp::from_millis(1);
        assert!((0..10).all(|_| throttle.admit(now, &mut chance)));
        assert_eq!(throttle.level(now).refused, Ratio::from_share(10.0 / 11.0).unwrap());
    }

    #[test]
    fn where_nothing_is_accepted_a_call_or_two_a_second_is_sent() {
        let (throttle, mut chance) = (throttle(200), Chance::from_seed(2));
        seconds(&throttle, 0..60, 100, &mut chance);
        let outage = seconds(&throttle, 60..1_000, 0, &mut chance);
        // Half of the window's requests were accepted before: it takes as long to be sure.
        let sure: u64 = outage[120..].iter().sum();
        let calls = 100 * outage[120..].len() as u64;
        assert!(sure * 1_000 <= calls * 15, "{sure} of {calls}");
        // And never does a second pass without one.
        assert!(outage.iter().all(|&sent| sent >= 1));
    }

    #[test]
    fn a_peer_that_takes_half_is_sent_all_with_two_and_little_more_than_half_with_one_point_one() {
        for (multiplier, capacity, expected) in
            [(200, 50, 100.0), (200, 20, 40.0), (110, 50, 55.0), (150, 40, 60.0), (1_000, 5, 50.0)]
        {
            let (throttle, mut chance) = (throttle(multiplier), Chance::from_seed(3));
            seconds(&throttle, 0..600, capacity, &mut chance);
            let sent: u64 = seconds(&throttle, 600..1_200, capacity, &mut chance).iter().sum();
            let mean = sent as f64 / 600.0;
            assert!((mean / expected - 1.0_f64).abs() < 0.15, "{multiplier} {capacity}: {mean}");
        }
    }

    #[test]
    fn the_share_refused_is_that_of_the_formula() {
        for (requests, accepts) in [(100, 0), (100, 20), (1_000, 499), (1_000, 500), (50, 10)] {
            let (throttle, mut chance) = (throttle(200), Chance::from_seed(4));
            let now = Timestamp::from_millis(1);
            for _ in 0..requests {
                let _ = throttle.admit(now, &mut chance);
            }
            (0..accepts).for_each(|_| throttle.on_accept(now));
            let (requests, accepts) = (f64::from(requests), f64::from(accepts));
            let formula = ((requests - 2.0 * accepts) / (requests + 1.0)).max(0.0);
            let level = throttle.level(now);
            assert_eq!(Some(level.refused), Ratio::from_share(formula), "{level:?}");
        }
    }

    #[test]
    fn after_an_outage_all_is_sent_again_within_the_window() {
        for outage in [30, 120, 600] {
            let (throttle, mut chance) = (throttle(200), Chance::from_seed(5));
            seconds(&throttle, 0..120, 100, &mut chance);
            seconds(&throttle, 120..120 + outage, 0, &mut chance);
            let start = 120 + outage;
            let after = seconds(&throttle, start..start + 240, 100, &mut chance);
            assert!(after[120..].iter().all(|&sent| sent == 100), "{outage}: {after:?}");
            assert!(after[60] >= 90, "{outage}: {after:?}");
        }
    }

    #[test]
    fn a_quiet_window_is_forgotten() {
        let (throttle, mut chance) = (throttle(200), Chance::from_seed(6));
        seconds(&throttle, 0..60, 0, &mut chance);
        let later = Timestamp::from_millis(60_000 + 120_000);
        assert_eq!(throttle.level(later).requests, 0);
        assert!(throttle.admit(later, &mut chance));
    }

    #[test]
    fn a_full_bucket_keeps_the_ratio_of_its_counts() {
        let (throttle, now) = (throttle(200), Timestamp::from_millis(1));
        throttle.buckets[0].store((COUNT_MASK << COUNT_BITS) | (COUNT_MASK / 4), Ordering::Relaxed);
        let before = throttle.level(now).refused;
        throttle.count(REQUEST, now);
        let level = throttle.level(now);
        assert_eq!((level.requests, level.accepts), (1 << 22, (1 << 20) - 1));
        assert!(level.refused.parts().abs_diff(before.parts()) <= 1);
    }

    #[test]
    fn news_from_a_thread_that_slept_is_counted_in_the_lap_that_came_meanwhile() {
        let throttle = throttle(200);
        let window = Duration::from_secs(120);
        let (old, new) = (Timestamp::from_millis(1), Timestamp::from_millis(1) + window);
        throttle.count(REQUEST, old);
        throttle.count(REQUEST, new);
        throttle.count(ACCEPT, old);
        let level = throttle.level(new);
        assert_eq!((level.requests, level.accepts), (1, 1));
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        let throttle = throttle(200);
        assert!(throttle.admit(Timestamp::MAX, &mut Chance::from_seed(1)));
        assert_eq!(throttle.level(Timestamp::MAX).requests, 1);
    }
}
