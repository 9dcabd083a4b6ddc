//! The spread of an endpoint's latency: how long its answers take, as percentiles of the last half minute.
//!
//! Hedges, adaptive timeouts and hopeless attempts are decided by it. Answers are counted in a histogram of
//! logarithmic buckets, eight to an octave, so that a percentile is read a few percent too high at most, never too
//! low. Three histograms of 8.6 s follow each other, as in Finagle's windowed percentiles (three of 10 s); the oldest
//! is emptied by whoever needs its place.
//!
//! ```text
//!   observe ──▶ histogram of this step ┐
//!               histogram before it    ├─ refresh, each second ──▶ one number for each percentile ──▶ at
//!               histogram before that  ┘
//! ```
//!
//! To count an answer is one relaxed add, to ask for a percentile one load. An answer that is counted while another thread
//! empties the histogram may be lost; a percentile doesn't notice.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use super::latency::{UNIT_BITS, units_of};
use crate::time::Timestamp;

/// One of the percentiles that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Percentile {
    /// The median.
    P50,
    /// One answer in four is slower.
    P75,
    /// One in ten.
    P90,
    /// One in twenty.
    P95,
    /// One in fifty.
    P98,
    /// One in a hundred.
    P99,
    /// One in two hundred.
    P995,
    /// One in a thousand.
    P999,
}

impl Percentile {
    /// Every percentile, in their order.
    pub const ALL: [Self; 8] =
        [Self::P50, Self::P75, Self::P90, Self::P95, Self::P98, Self::P99, Self::P995, Self::P999];

    /// What it is written as: `p95`, `p99.9`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P75 => "p75",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P98 => "p98",
            Self::P99 => "p99",
            Self::P995 => "p99.5",
            Self::P999 => "p99.9",
        }
    }

    /// The percentile that is written so, if it is one of those that are kept.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|percentile| percentile.code() == code)
    }

    /// In thousandths.
    #[must_use]
    pub const fn per_mille(self) -> u16 {
        match self {
            Self::P50 => 500,
            Self::P75 => 750,
            Self::P90 => 900,
            Self::P95 => 950,
            Self::P98 => 980,
            Self::P99 => 990,
            Self::P995 => 995,
            Self::P999 => 999,
        }
    }

    /// How many answers it takes to say anything about it: some must lie beyond it.
    const fn least_answers(self) -> u64 {
        let beyond = 1000 / (1000 - self.per_mille()) as u64;
        if beyond > LEAST_ANSWERS { beyond } else { LEAST_ANSWERS }
    }
}

/// How long the answers of one endpoint take.
#[derive(Debug)]
pub(super) struct Spread {
    histograms: [Histogram; HISTOGRAMS],
    /// The percentiles as they were counted last, in units of latency; zero where there were too few answers.
    counted: [AtomicU32; Percentile::ALL.len()],
    /// What the fastest answer took, of those that are remembered; zero while none is.
    fastest: AtomicU32,
}

#[derive(Debug)]
struct Histogram {
    /// The step that it counts, + 1; zero when it was never used.
    step: AtomicU32,
    /// The fastest answer in it.
    fastest: AtomicU32,
    buckets: [AtomicU32; BUCKETS],
}

impl Spread {
    pub(super) const fn new() -> Self {
        Self {
            histograms: [const { Histogram::new() }; HISTOGRAMS],
            counted: [const { AtomicU32::new(0) }; Percentile::ALL.len()],
            fastest: AtomicU32::new(0),
        }
    }

    /// Takes in how long an answer took.
    #[inline]
    pub(super) fn observe(&self, took: Duration, now: Timestamp) {
        let units = units_of(took);
        let histogram = self.histogram(now);
        histogram.buckets[bucket(units)].fetch_add(1, Relaxed);
        // Nearly no answer is the fastest, so nearly none writes.
        if units < histogram.fastest.load(Relaxed) {
            histogram.fastest.fetch_min(units, Relaxed);
        }
    }

    /// Takes in that an answer took at least so long: it was cut off. Left out, the slow ones would be missing from the
    /// percentiles, and whatever cuts them off by a percentile would cut ever more. How fast an answer can be it doesn't say.
    #[inline]
    pub(super) fn at_least(&self, took: Duration, now: Timestamp) {
        self.histogram(now).buckets[bucket(units_of(took))].fetch_add(1, Relaxed);
    }

    #[inline]
    fn histogram(&self, now: Timestamp) -> &Histogram {
        let step = step(now);
        let histogram = &self.histograms[step as usize % HISTOGRAMS];
        if histogram.step.load(Relaxed) != step {
            histogram.begin(step);
        }
        histogram
    }

    /// What the fastest answer of the last half minute took, as it was counted last; `None` while none is known.
    #[inline]
    pub(super) fn fastest(&self) -> Option<Duration> {
        match self.fastest.load(Relaxed) {
            0 => None,
            units => Some(Duration::from_nanos(u64::from(units) << UNIT_BITS)),
        }
    }

    /// The percentile as it was counted last; `None` while there are too few answers.
    #[inline]
    pub(super) fn at(&self, percentile: Percentile) -> Option<Duration> {
        match self.counted[percentile as usize].load(Relaxed) {
            0 => None,
            units => Some(Duration::from_nanos(u64::from(units) << UNIT_BITS)),
        }
    }

    /// Counts the percentiles anew.
    pub(super) fn refresh(&self, now: Timestamp) {
        let recent = || {
            let now = step(now);
            self.histograms.iter().filter(move |histogram| {
                let step = histogram.step.load(Relaxed);
                step != 0 && now.wrapping_sub(step) < HISTOGRAMS as u32
            })
        };
        let count = |bucket: usize| -> u64 {
            recent().map(|it| u64::from(it.buckets[bucket].load(Relaxed))).sum()
        };
        let total: u64 = (0..BUCKETS).map(count).sum();
        let fastest = recent().map(|it| it.fastest.load(Relaxed)).min();
        let known = fastest.filter(|units| *units < u32::MAX && total >= LEAST_ANSWERS);
        self.fastest.store(known.unwrap_or(0), Relaxed);
        let (mut below, mut next) = (0, 0);
        for percentile in Percentile::ALL {
            let wanted = (total * u64::from(percentile.per_mille())).div_ceil(1000);
            while below < wanted && next < BUCKETS {
                below += count(next);
                next += 1;
            }
            let enough = total >= percentile.least_answers();
            let units = if enough { top_of(next.saturating_sub(1)) } else { 0 };
            self.counted[percentile as usize].store(units, Relaxed);
        }
    }

    /// Forgets what was counted: it says nothing about an endpoint that comes back.
    pub(super) fn forget(&self) {
        self.histograms.iter().for_each(|histogram| histogram.step.store(0, Relaxed));
        self.counted.iter().for_each(|counted| counted.store(0, Relaxed));
        self.fastest.store(0, Relaxed);
    }
}

impl Histogram {
    const fn new() -> Self {
        Self {
            step: AtomicU32::new(0),
            fastest: AtomicU32::new(u32::MAX),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    /// Empties it for another step, by the one thread that comes first.
    #[cold]
    fn begin(&self, step: u32) {
        let before = self.step.load(Relaxed);
        // A thread whose `now` is a little older than that of the others doesn't turn back.
        let is_late = before != 0 && step.wrapping_sub(before) > u32::MAX / 2;
        if is_late || self.step.compare_exchange(before, step, Relaxed, Relaxed).is_err() {
            return;
        }
        self.fastest.store(u32::MAX, Relaxed);
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
    }
}

/// Which step a time belongs to; never zero.
fn step(now: Timestamp) -> u32 {
    ((now.as_nanos() >> STEP_BITS) as u32).wrapping_add(1).max(1)
}

/// The bucket of a latency: below eight units each has its own, from there on eight to an octave.
fn bucket(units: u32) -> usize {
    match units.checked_ilog2() {
        Some(octave) if octave >= 3 => {
            let within = (units >> (octave - 3)) & 7;
            (octave as usize - 2) * 8 + within as usize
        }
        _ => units as usize,
    }
}

/// The highest latency of a bucket, in units.
fn top_of(bucket: usize) -> u32 {
    if bucket < 8 {
        return (bucket as u32).max(1);
    }
    let (octave, within) = (bucket as u32 / 8 + 2, bucket as u32 % 8);
    let bottom = u64::from(8 + within) << (octave - 3);
    let top = bottom + (1 << (octave - 3)) - 1;
    u32::try_from(top).unwrap_or(u32::MAX)
}

/// 2^33 ns, 8.6 s: a shift instead of a division.
const STEP_BITS: u32 = 33;

/// What a percentile is counted from: this step and the two before.
const HISTOGRAMS: usize = 3;

/// Eight for the first eight units, and eight for each octave up to the highest latency.
const BUCKETS: usize = 30 * 8;

/// Below so many answers nothing is said about their spread.
const LEAST_ANSWERS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// A percentile within its bucket's width of `expected`, and not below it.
    #[track_caller]
    fn assert_about(spread: &Spread, percentile: Percentile, expected: Duration) {
        let found = spread.at(percentile).unwrap();
        assert!(found >= expected, "{found:?} for {expected:?}");
        assert!(found <= expected + expected / 8, "{found:?} for {expected:?}");
    }

    #[test]
    fn percentiles_are_a_little_too_high_and_never_too_low() {
        let spread = Spread::new();
        (1..=1000).for_each(|n| spread.observe(ms(n), at(1)));
        spread.refresh(at(1));
        for percentile in Percentile::ALL {
            assert_about(&spread, percentile, ms(u64::from(percentile.per_mille())));
        }
    }

    #[test]
    fn with_too_few_answers_nothing_is_said() {
        let spread = Spread::new();
        (0..19).for_each(|_| spread.observe(ms(5), at(1)));
        spread.refresh(at(1));
        assert_eq!(spread.at(Percentile::P50), None);
        spread.observe(ms(5), at(1));
        spread.refresh(at(1));
        assert_about(&spread, Percentile::P95, ms(5));
        assert_eq!(spread.at(Percentile::P99), None, "one in a hundred takes a hundred");
    }

    #[test]
    fn what_is_older_than_half_a_minute_is_forgotten() {
        let spread = Spread::new();
        (0..100).for_each(|_| spread.observe(ms(500), at(1)));
        (0..100).for_each(|_| spread.observe(ms(5), at(20)));
        spread.refresh(at(20));
        assert_about(&spread, Percentile::P95, ms(500));
        spread.refresh(at(30));
        assert_about(&spread, Percentile::P95, ms(5));
        spread.refresh(at(60));
        assert_eq!(spread.at(Percentile::P50), None);
    }

    #[test]
    fn a_histogram_is_emptied_before_it_counts_again() {
        let spread = Spread::new();
        (0..100).for_each(|_| spread.observe(ms(500), at(1)));
        // Three steps later the same histogram is used again.
        (0..100).for_each(|_| spread.observe(ms(5), at(27)));
        spread.refresh(at(27));
        assert_about(&spread, Percentile::P95, ms(5));
    }

    #[test]
    fn what_was_cut_off_counts_for_the_percentiles_and_not_for_the_fastest() {
        let spread = Spread::new();
        (0..100).for_each(|_| spread.at_least(ms(500), at(1)));
        spread.refresh(at(1));
        assert_about(&spread, Percentile::P50, ms(500));
        assert_eq!(spread.fastest(), None);
        spread.observe(ms(70), at(2));
        spread.observe(ms(40), at(2));
        spread.refresh(at(2));
        assert_eq!(spread.fastest(), Some(ms(40)));
        spread.refresh(at(40));
        assert_eq!(spread.fastest(), None, "half a minute later");
    }

    #[test]
    fn each_latency_has_a_bucket_whose_top_is_not_below_it() {
        for shift in 0..32 {
            for near in [0_u32, 1, 2] {
                let units = (1_u32 << shift).saturating_add(near).max(1);
                let bucket = bucket(units);
                assert!(bucket < BUCKETS, "{units}");
                assert!(top_of(bucket) >= units, "{units}");
                assert!(u64::from(top_of(bucket)) <= u64::from(units) + u64::from(units) / 8 + 1);
            }
        }
        assert!(bucket(u32::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_are_found_by_their_codes() {
        for percentile in Percentile::ALL {
            assert_eq!(Percentile::from_code(percentile.code()), Some(percentile));
        }
        assert_eq!(Percentile::from_code("p96"), None);
    }

    #[test]
    fn a_forgotten_spread_says_nothing() {
        let spread = Spread::new();
        (0..100).for_each(|_| spread.observe(ms(5), at(1)));
        spread.refresh(at(1));
        spread.forget();
        assert_eq!(spread.at(Percentile::P50), None);
        spread.refresh(at(1));
        assert_eq!(spread.at(Percentile::P50), None);
    }
}
