//! The ceiling's memory: how many calls, and how many extra attempts, the last window saw.
//!
//! Ten buckets, each one word, so that a call costs a load and one atomic add. The word holds the bucket's lap
//! beside its two counts: an add tells from the value it replaces whether the bucket is still that of an earlier
//! lap, and only then a compare-and-swap empties it. Counts are exact; what slides is the window, a tenth at a time.
//!
//! ```text
//!   slot = now / (window / 10)     bucket = slot mod 10     lap = slot / 10
//!   word = lap (18 bits) | calls (24 bits) | extra attempts (22 bits)
//! ```
//!
//! Time never goes back here: who comes with an earlier `now` than somebody else before is counted in the newest
//! bucket. A lap repeats after 2^18 windows (three days at the shortest window); a bucket that sleeps for exactly
//! that long shows its old counts for one window, which is what they allowed then.

use core::array;
use core::time::Duration;

use super::Padded;
use super::atomic::{AtomicU64, Ordering};
use crate::time::{Timestamp, nanos};

/// Counts of a sliding window, shared by all generations of a budget with the same window length.
#[derive(Debug)]
pub(super) struct Window {
    /// Length of a bucket's time in nanoseconds.
    slot_nanos: u64,
    /// The newest slot that anybody has seen. Read by each call, written ten times a window.
    newest: Padded<AtomicU64>,
    /// Only the newest is written to, so they may share their cache lines.
    buckets: Padded<[AtomicU64; BUCKETS as usize]>,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) extra: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            slot_nanos: slot_nanos(length),
            newest: Padded(AtomicU64::new(0)),
            buckets: Padded(array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    /// Whether a window of this length counts the same.
    pub(super) fn has_length(&self, length: Duration) -> bool {
        self.slot_nanos == slot_nanos(length)
    }

    /// Counts a call.
    pub(super) fn add_call(&self, now: Timestamp) {
        let (old, slot) = self.add(CALL, now);
        if calls(old) >= CALLS_LIMIT {
            self.take_back_call(slot);
        }
    }

    /// Counts an extra attempt. The caller has made sure that the window holds fewer than [`EXTRA_LIMIT`].
    pub(super) fn add_extra(&self, now: Timestamp) {
        self.add(EXTRA, now);
    }

    /// What the window that ends at `now` holds.
    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let newest = self.newest.0.load(Ordering::Acquire).max(self.slot_of(now));
        let mut counts = Counts::default();
        for slot in newest.saturating_sub(BUCKETS - 1)..=newest {
            let word = self.bucket(slot).load(Ordering::Acquire);
            if lap(word) == lap_of(slot) {
                counts.calls += calls(word);
                counts.extra += word & EXTRA_MASK;
            }
        }
        counts
    }

    /// Adds to the newest bucket; returns the word that was there, and its slot.
    #[inline]
    fn add(&self, what: u64, now: Timestamp) -> (u64, u64) {
        let slot = self.newest.0.load(Ordering::Acquire);
        if now.as_nanos().wrapping_sub(slot.wrapping_mul(self.slot_nanos)) < self.slot_nanos {
            let old = self.bucket(slot).fetch_add(what, Ordering::AcqRel);
            if lap(old) == lap_of(slot) {
                return (old, slot);
            }
        }
        self.add_to_another_bucket(what, now)
    }

    /// The slot has changed, or its bucket still holds the counts of an earlier lap; what was added to those goes
    /// with them. Only a thread that sleeps for a whole window on its way here counts twice.
    #[cold]
    fn add_to_another_bucket(&self, what: u64, now: Timestamp) -> (u64, u64) {
        let reached = self.slot_of(now);
        let mut slot = self.newest.0.fetch_max(reached, Ordering::AcqRel).max(reached);
        loop {
            self.empty_if_old(slot);
            let old = self.bucket(slot).fetch_add(what, Ordering::AcqRel);
            if lap(old) == lap_of(slot) {
                return (old, slot);
            }
            // Time moved on before anybody had emptied the bucket. It can't do that often: a slot lasts.
            slot = self.newest.0.load(Ordering::Acquire);
        }
    }

    /// Begins the bucket of `slot` unless somebody has, or time has moved on.
    ///
    /// The word is read before the slot is looked at: nobody begins a later lap before `newest` says so, so a word
    /// that was read while `slot` was the newest can't be of a later lap, and the swap fails if it has become so.
    fn empty_if_old(&self, slot: u64) {
        let bucket = self.bucket(slot);
        loop {
            let word = bucket.load(Ordering::Acquire);
            if lap(word) == lap_of(slot) || self.newest.0.load(Ordering::Acquire) != slot {
                return;
            }
            let empty = lap_of(slot) << LAP_SHIFT;
            if bucket.compare_exchange(word, empty, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// The count of calls is full and must not run over into the lap. From there on the window holds fewer calls
    /// than there were, and the ceiling is lower than it might be.
    #[cold]
    fn take_back_call(&self, slot: u64) {
        // Refused only when the bucket has been emptied meanwhile, and then there is nothing to take back.
        let _ = self.bucket(slot).fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            (lap(word) == lap_of(slot) && calls(word) > CALLS_LIMIT).then(|| word - CALL)
        });
    }

    fn slot_of(&self, now: Timestamp) -> u64 {
        now.as_nanos() / self.slot_nanos
    }

    fn bucket(&self, slot: u64) -> &AtomicU64 {
        &self.buckets.0[(slot % BUCKETS) as usize]
    }
}

fn slot_nanos(length: Duration) -> u64 {
    (nanos(length) / BUCKETS).max(1)
}

const fn lap(word: u64) -> u64 {
    word >> LAP_SHIFT
}

const fn lap_of(slot: u64) -> u64 {
    (slot / BUCKETS) & LAP_MASK
}

const fn calls(word: u64) -> u64 {
    (word >> EXTRA_BITS) & CALLS_MASK
}

/// The most extra attempts that a window holds: 4 million, or 14,000 a second in the longest window. The ceiling
/// never allows more, so the count of a bucket can't run over.
pub(super) const EXTRA_LIMIT: u64 = EXTRA_MASK - ROOM;

const BUCKETS: u64 = 10;

const EXTRA_BITS: u32 = 22;
const EXTRA_MASK: u64 = (1 << EXTRA_BITS) - 1;
const CALLS_BITS: u32 = 24;
const CALLS_MASK: u64 = (1 << CALLS_BITS) - 1;
const LAP_SHIFT: u32 = EXTRA_BITS + CALLS_BITS;
const LAP_MASK: u64 = (1 << (u64::BITS - LAP_SHIFT)) - 1;

const EXTRA: u64 = 1;
const CALL: u64 = 1 << EXTRA_BITS;

/// Calls that a bucket counts: 16.7 million, or half a million a second in the longest window.
const CALLS_LIMIT: u64 = CALLS_MASK - ROOM;

/// What is left of a field for the threads that add before they see that it is full.
const ROOM: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn window() -> Window {
        Window::new(Duration::from_secs(10))
    }

    fn counts(window: &Window, nanos: u64) -> (u64, u64) {
        let counts = window.counts(Timestamp::from_nanos(nanos));
        (counts.calls, counts.extra)
    }

    #[test]
    fn a_count_lasts_to_the_end_of_the_tenth_bucket_after_it() {
        let window = window();
        window.add_call(Timestamp::from_nanos(SECOND - 1));
        window.add_extra(Timestamp::from_nanos(SECOND));
        assert_eq!(counts(&window, 10 * SECOND - 1), (1, 1));
        assert_eq!(counts(&window, 10 * SECOND), (0, 1));
        assert_eq!(counts(&window, 11 * SECOND), (0, 0));
    }

    #[test]
    fn a_bucket_of_an_earlier_lap_is_emptied_before_it_counts() {
        let window = window();
        (0..1_000).for_each(|second| window.add_call(Timestamp::from_nanos(second * SECOND)));
        assert_eq!(counts(&window, 999 * SECOND), (10, 0));
        window.add_call(Timestamp::from_nanos(1_000_003 * SECOND));
        assert_eq!(counts(&window, 1_000_003 * SECOND), (1, 0));
    }

    #[test]
    fn late_news_counts_in_the_newest_bucket() {
        let window = window();
        window.add_call(Timestamp::from_nanos(50 * SECOND));
        window.add_call(Timestamp::from_nanos(SECOND));
        assert_eq!(counts(&window, 0), (2, 0));
        assert_eq!(counts(&window, 59 * SECOND), (2, 0));
        assert_eq!(counts(&window, 60 * SECOND), (0, 0));
    }

    #[test]
    fn a_full_count_of_calls_stays_full() {
        let window = window();
        window.buckets.0[0].store(((CALLS_LIMIT - 2) << EXTRA_BITS) | 7, Ordering::Relaxed);
        (0..5).for_each(|_| window.add_call(Timestamp::ZERO));
        assert_eq!(counts(&window, 0), (CALLS_LIMIT, 7));
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        let window = window();
        window.add_call(Timestamp::MAX);
        assert_eq!(counts(&window, u64::MAX), (1, 0));
    }
}
