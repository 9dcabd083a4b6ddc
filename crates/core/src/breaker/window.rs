//! The window: calls, failures and slow calls of the last ten buckets of time, exact, one atomic add a call.
//!
//! ```text
//!   head     end of the current bucket, in ms  39 | full 1 | period 12 | stamp 12
//!   bucket   stamp 12 | calls 20 | failures 16 | slow 16                      × 16, of which the last 10 count
//! ```
//!
//! Time is cut into buckets of a tenth of the window. Each bucket of time has a stamp, one more than the last, and
//! lives in the slot `stamp % 16`, with its stamp written beside its counts. So whether a bucket still counts is
//! seen by looking at it, and one that is out of date is replaced as it is filled anew: nothing has to be cleared
//! in time, by anybody. The thread that first notices that the current bucket is over moves the head and empties
//! the slots that were passed without a call. After a pause of a window or more the stamp jumps by ten, and with it
//! everything that was counted is out of date.
//!
//! Exact buckets rather than a moving average: an average of few or bursty calls says more about their spacing than
//! about their outcomes, which is why linkerd's breaker went from one to the other (linkerd/linkerd2-proxy#4561).
//!
//! A count is added without looking first, because with two threads on one bucket a look would move its cache line
//! twice. The add gives back what was there: if that was out of date, so is what was added to it, and the call is
//! counted again in the bucket's replacement.
//!
//! **Threads that stall.** One that read the head and was then put to sleep adds its count to whatever bucket is in
//! that slot when it wakes up: its call is booked at a later time than it ended at. It can't be booked twice, and
//! it erases nothing, since a bucket is only ever replaced by compare-and-swap from the very value that was seen
//! to be out of date. What is lost is lost on purpose: a count whose window is over.
//!
//! **Periods.** A breaker that closes starts from nothing. The head says for which closed period (its generation) it
//! counts, and the first call of a new one moves the stamp by ten. Calls of an earlier period are dropped from then on.
//!
//! **Full buckets.** A bucket in which one of the fields is nearly full counts no more, and its ratios stand for the
//! rest of its time. That happens at about a million calls or 61,000 failures in a tenth of the window. Whoever adds
//! to such a bucket marks the head before it goes on, so each thread adds to it once at most, and there is room for
//! 4,096 of them before a field could spill into its neighbour.

use core::time::Duration;

use super::facts::WindowCounts;
use super::sync::{ALONE, AtomicU64};
use crate::time::Timestamp;

/// Counts calls over time.
#[derive(Debug)]
pub(super) struct Window {
    head: AtomicU64,
    slots: Slots,
}

/// On lines of their own: they are written with each call, while what stands beside them is only read.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(align(64)))]
struct Slots([AtomicU64; SLOTS]);

/// What is added to a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(u64);

impl Count {
    /// A call that went well.
    pub(super) const FAST: Self = Self(ONE_CALL);
    /// A call that went well, slowly.
    pub(super) const SLOW: Self = Self(ONE_CALL | ONE_SLOW);
    /// A call that failed.
    pub(super) const FAILURE: Self = Self(ONE_CALL | ONE_FAILURE);
    /// A call that was counted before has failed after all.
    pub(super) const FAILED_LATER: Self = Self(ONE_FAILURE);
}

/// The head, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// When the current bucket is over.
    ends_at_ms: u64,
    /// Whether it counts no more.
    full: bool,
    /// For which closed period it counts: the lower bits of its generation.
    period: u16,
    /// The stamp of the current bucket.
    stamp: u16,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { head: AtomicU64::new(0), slots: Slots(core::array::from_fn(|_| AtomicU64::new(0))) }
    }

    /// Counts one outcome. With a period, whatever was counted in an earlier one goes, and it does nothing for a
    /// period that is over; without one, it counts along.
    #[inline]
    pub(super) fn record(
        &self,
        count: Count,
        period: Option<u16>,
        length: Duration,
        now: Timestamp,
    ) {
        let head = Head::unpack(self.head.load(ALONE));
        let current = head.is_current(period, millis(now)) && !head.full;
        let stamp = if current { Some(head.stamp) } else { self.advance(period, length, now) };
        let Some(stamp) = stamp else { return };
        let before = self.slot(stamp).fetch_add(count.0, ALONE);
        if stamp_of(before) != stamp || is_full(before) {
            self.look_after(count, before, stamp);
        }
    }

    /// The sums at `now`, as far as they belong to `period`.
    pub(super) fn counts(
        &self,
        period: Option<u16>,
        length: Duration,
        now: Timestamp,
    ) -> WindowCounts {
        let head = Head::unpack(self.head.load(ALONE));
        let (stamp, _) = head.at(period, length, millis(now));
        self.sum(stamp)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut seen = self.head.load(ALONE);
        loop {
            let head = Head::unpack(seen);
            match self.swap_head(seen, head.cleared(head.period)) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Begins a closed period, unless a call has. For one that ends without having seen any: or what was counted before
    /// it would be seen again.
    pub(super) fn begin(&self, period: u16) {
        let mut seen = self.head.load(ALONE);
        loop {
            let head = Head::unpack(seen);
            if !is_older(head.period, period & RING) {
                return;
            }
            match self.swap_head(seen, head.cleared(period)) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Sees to it that what was added to a bucket counts, and that a full one gets no more.
    #[cold]
    fn look_after(&self, count: Count, before: u64, stamp: u16) {
        if is_older(stamp_of(before), stamp) {
            self.renew(stamp);
            self.slot(stamp).fetch_add(count.0, ALONE);
        } else if is_full(before) {
            self.mark_full(stamp_of(before));
        }
    }

    /// Marks the head as long as it stands for the bucket with this stamp.
    fn mark_full(&self, stamp: u16) {
        let mut seen = self.head.load(ALONE);
        loop {
            let head = Head::unpack(seen);
            if head.stamp != stamp || head.full {
                return;
            }
            let next = Head { full: true, ..head };
            match self.swap_head(seen, next) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Moves the head to `now`, and gives its stamp; `None` when the period is over or the bucket full.
    #[cold]
    fn advance(&self, period: Option<u16>, length: Duration, now: Timestamp) -> Option<u16> {
        let now_ms = millis(now);
        let mut seen = self.head.load(ALONE);
        loop {
            let head = Head::unpack(seen);
            if period.is_some_and(|period| head.is_later_than(period)) {
                return None;
            }
            if head.is_current(period, now_ms) {
                return (!head.full).then_some(head.stamp);
            }
            let (stamp, ends_at_ms) = head.at(period, length, now_ms);
            let period = period.unwrap_or(head.period);
            let next = Head { ends_at_ms, full: false, period, stamp };
            match self.swap_head(seen, next) {
                Ok(_) => {
                    self.renew_between(head.stamp, stamp);
                    return Some(stamp);
                }
                Err(other) => seen = other,
            }
        }
    }

    /// Empties the slots from after `before` up to `stamp`, so that none keeps an old stamp for long.
    fn renew_between(&self, before: u16, stamp: u16) {
        for step in 0..steps(before, stamp) {
            self.renew(stamp.wrapping_sub(step) & RING);
        }
    }

    /// Makes sure that the bucket in this stamp's slot isn't older.
    fn renew(&self, stamp: u16) {
        let slot = self.slot(stamp);
        let mut seen = slot.load(ALONE);
        while is_older(stamp_of(seen), stamp) {
            let empty = u64::from(stamp) << STAMP_AT;
            match slot.compare_exchange_weak(seen, empty, ALONE, ALONE) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    fn swap_head(&self, seen: u64, next: Head) -> Result<u64, u64> {
        self.head.compare_exchange_weak(seen, next.pack(), ALONE, ALONE)
    }

    #[inline]
    fn slot(&self, stamp: u16) -> &AtomicU64 {
        &self.slots.0[usize::from(stamp) % SLOTS]
    }

    /// The sum of the ten buckets up to `stamp`.
    fn sum(&self, stamp: u16) -> WindowCounts {
        let mut sum = WindowCounts::default();
        for slot in &self.slots.0 {
            let bits = slot.load(ALONE);
            if steps(stamp_of(bits), stamp) < BUCKETS {
                sum.calls += (bits >> CALLS_AT) as u32 & CALLS_MASK;
                sum.failures += (bits >> FAILURES_AT) as u32 & FIELD_MASK;
                sum.slow += bits as u32 & FIELD_MASK;
            }
        }
        sum
    }
}

impl Head {
    /// Whether a call of this period at this time belongs to the current bucket. A clock that was read a while ago
    /// does too.
    #[inline]
    fn is_current(self, period: Option<u16>, now_ms: u64) -> bool {
        now_ms < self.ends_at_ms && period.is_none_or(|period| period & RING == self.period)
    }

    /// The stamp and the end of the bucket at this time. The ends lie on a grid, the same for all threads.
    fn at(self, period: Option<u16>, length: Duration, now_ms: u64) -> (u16, u64) {
        let bucket_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX) / u64::from(BUCKETS);
        let bucket_ms = bucket_ms.max(1);
        let ends_at_ms = (now_ms / bucket_ms).saturating_add(1).saturating_mul(bucket_ms);
        let passed = ends_at_ms.saturating_sub(self.ends_at_ms).div_ceil(bucket_ms);
        let same_period = period.is_none_or(|period| period & RING == self.period);
        let steps = if same_period { passed.min(u64::from(BUCKETS)) as u16 } else { BUCKETS };
        // No bucket ends before the one that the head already stands for.
        let ends_at_ms = ends_at_ms.max(self.ends_at_ms).min(ENDS_AT_MAX);
        (self.stamp.wrapping_add(steps) & RING, ends_at_ms)
    }

    /// With everything out of date: the next call finds a bucket that is long over, whenever it comes.
    fn cleared(self, period: u16) -> Self {
        let stamp = self.stamp.wrapping_add(BUCKETS) & RING;
        Self { ends_at_ms: 0, full: false, period, stamp }
    }

    /// Whether it counts for a period after this one.
    fn is_later_than(self, period: u16) -> bool {
        is_older(period & RING, self.period)
    }

    fn pack(self) -> u64 {
        self.ends_at_ms << ENDS_AT
            | u64::from(self.full) << FULL_AT
            | u64::from(self.period & RING) << 12
            | u64::from(self.stamp)
    }

    #[inline]
    fn unpack(bits: u64) -> Self {
        Self {
            ends_at_ms: bits >> ENDS_AT,
            full: bits >> FULL_AT & 1 == 1,
            period: (bits >> 12) as u16 & RING,
            stamp: bits as u16 & RING,
        }
    }
}

/// How many steps lead from one stamp to another, around the ring if need be.
fn steps(from: u16, to: u16) -> u16 {
    to.wrapping_sub(from) & RING
}

/// Whether `one` comes before `other`, by the shorter way around the ring.
#[inline]
fn is_older(one: u16, other: u16) -> bool {
    (1..=RING / 2).contains(&steps(one, other))
}

/// The time in the window's own unit, up to the end of its last bucket.
#[inline]
fn millis(now: Timestamp) -> u64 {
    now.as_millis().min(ENDS_AT_MAX - 1)
}

#[inline]
fn stamp_of(bits: u64) -> u16 {
    (bits >> STAMP_AT) as u16
}

/// Whether a field's upper bits are all set: 4,096 counts before the end, 1/16 of the field.
#[inline]
fn is_full(bits: u64) -> bool {
    bits & CALLS_FULL == CALLS_FULL
        || bits & FAILURES_FULL == FAILURES_FULL
        || bits & SLOW_FULL == SLOW_FULL
}

/// Ten, as in Hystrix and linkerd: the window's length is then exact to a tenth.
const BUCKETS: u16 = 10;

/// The next power of two, so that slots follow from stamps also where these wrap.
const SLOTS: usize = 16;

/// Stamps and periods have 12 bits, and begin anew after the last one.
const RING: u16 = (1 << 12) - 1;
const FULL_AT: u32 = 24;
const ENDS_AT: u32 = 25;

/// 17 years; the last bucket doesn't end.
const ENDS_AT_MAX: u64 = (1 << 39) - 1;

const STAMP_AT: u32 = 52;
const CALLS_AT: u32 = 32;
const FAILURES_AT: u32 = 16;
const CALLS_MASK: u32 = (1 << 20) - 1;
const FIELD_MASK: u32 = (1 << 16) - 1;
const ONE_CALL: u64 = 1 << CALLS_AT;
const ONE_FAILURE: u64 = 1 << FAILURES_AT;
const ONE_SLOW: u64 = 1;
const CALLS_FULL: u64 = 0xff << (CALLS_AT + 12);
const FAILURES_FULL: u64 = 0xf << (FAILURES_AT + 12);
const SLOW_FULL: u64 = 0xf << 12;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Records `(millis, count)` and gives calls, failures and slow at the end.
    fn check(records: &[(u64, Count)], now_ms: u64, expected: [u32; 3]) {
        let window = Window::new();
        for (millis, count) in records {
            window.record(*count, Some(0), LENGTH, at(*millis));
        }
        let counts = window.counts(Some(0), LENGTH, at(now_ms));
        assert_eq!([counts.calls, counts.failures, counts.slow], expected, "at {now_ms}");
    }

    #[test]
    fn each_kind_is_counted_in_its_fields() {
        let records = [
            (5, Count::FAST),
            (5, Count::SLOW),
            (5, Count::FAILURE),
            (5, Count::FAILURE),
            (5, Count::FAILED_LATER),
        ];
        check(&records, 5, [4, 3, 1]);
    }

    #[test]
    fn a_call_counts_until_its_bucket_is_ten_buckets_old() {
        let records = [(199, Count::FAST), (200, Count::FAILURE)];
        check(&records, 1_099, [2, 1, 0]);
        check(&records, 1_100, [1, 1, 0]);
        check(&records, 1_200, [0, 0, 0]);
        check(&records, 3_600_000, [0, 0, 0]);
    }

    #[test]
    fn buckets_without_calls_are_passed_over() {
        let records = [(0, Count::FAST), (500, Count::FAST), (1_650, Count::FAST)];
        check(&records, 1_650, [1, 0, 0]);
        let records = [(0, Count::FAST), (850, Count::FAST), (1_650, Count::FAST)];
        check(&records, 1_650, [2, 0, 0]);
    }

    #[test]
    fn a_clock_read_earlier_counts_in_the_current_bucket() {
        check(&[(950, Count::FAST), (120, Count::FAILURE)], 1_200, [2, 1, 0]);
    }

    #[test]
    fn stamps_wrap_without_a_trace() {
        let window = Window::new();
        for bucket in 0..10_000 {
            window.record(Count::FAST, Some(0), LENGTH, at(bucket * 100));
            let calls = window.counts(Some(0), LENGTH, at(bucket * 100)).calls;
            assert_eq!(u64::from(calls), (bucket + 1).min(10), "bucket {bucket}");
        }
    }

    #[test]
    fn sparse_calls_never_meet_counts_of_an_earlier_round() {
        let window = Window::new();
        // One call in each slot, and then in every fourth only, until the stamps have wrapped twice.
        let early = (0..16).map(|bucket| bucket * 100);
        let sparse = (4..2_100).map(|call| call * 400);
        for millis in early.chain(sparse) {
            window.record(Count::FAST, Some(0), LENGTH, at(millis));
            let calls = window.counts(Some(0), LENGTH, at(millis)).calls;
            assert!(calls <= 3 || millis < 2_600, "{calls} at {millis} ms");
        }
    }

    #[test]
    fn a_full_bucket_counts_no_more_and_spills_nothing() {
        let window = Window::new();
        for _ in 0..70_000 {
            window.record(Count::FAILURE, Some(0), LENGTH, at(0));
        }
        let counts = window.counts(Some(0), LENGTH, at(0));
        assert_eq!([counts.calls, counts.failures, counts.slow], [0xf001, 0xf001, 0]);
        window.record(Count::SLOW, Some(0), LENGTH, at(100));
        let counts = window.counts(Some(0), LENGTH, at(100));
        assert_eq!([counts.calls, counts.failures, counts.slow], [0xf002, 0xf001, 1]);
    }

    #[test]
    fn it_counts_on_at_the_end_of_time() {
        let window = Window::new();
        for _ in 0..3 {
            window.record(Count::FAST, Some(0), LENGTH, Timestamp::MAX);
        }
        assert_eq!(window.counts(Some(0), LENGTH, Timestamp::MAX).calls, 3);
    }

    #[test]
    fn a_new_period_starts_from_nothing_and_an_earlier_one_is_dropped() {
        let window = Window::new();
        window.record(Count::FAILURE, Some(0), LENGTH, at(0));
        assert_eq!(window.counts(Some(3), LENGTH, at(0)).calls, 0);
        window.record(Count::FAST, Some(3), LENGTH, at(1));
        window.record(Count::FAILURE, Some(0), LENGTH, at(2));
        window.record(Count::FAST, None, LENGTH, at(3));
        let counts = window.counts(Some(3), LENGTH, at(3));
        assert_eq!([counts.calls, counts.failures], [2, 0]);
    }

    #[test]
    fn a_cleared_window_is_empty_and_counts_again() {
        let window = Window::new();
        window.record(Count::FAILURE, Some(0), LENGTH, at(150));
        window.clear();
        assert_eq!(window.counts(Some(0), LENGTH, at(160)).calls, 0);
        window.record(Count::FAST, Some(0), LENGTH, at(160));
        assert_eq!(window.counts(Some(0), LENGTH, at(160)).calls, 1);
    }
}
