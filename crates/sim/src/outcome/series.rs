//! What happened over time, in at most `BUCKETS` buckets however long the run is.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::time::nanos;

use super::Histogram;

/// Buckets of equal width, from the start to the end of the world.
#[derive(Clone, Debug)]
pub struct Series {
    width: Duration,
    buckets: Vec<Bucket>,
}

/// What happened in one bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Calls that began.
    pub started: u64,
    /// Calls that ended well.
    pub good: u64,
    /// Calls that ended otherwise.
    pub bad: u64,
    /// Attempts that were made.
    pub attempts: u64,
    /// Requests that servers executed.
    pub executed: u64,
    /// Most requests that waited at all servers together.
    pub waiting: u64,
    /// Time from a call's start to the head of its answer, of calls that ended well.
    pub latency: Histogram,
}

impl Series {
    /// Empty buckets over `length`.
    #[must_use]
    pub fn over(length: Duration) -> Self {
        let width = width(length);
        let count = nanos(length).div_ceil(nanos(width)).max(1);
        let empty = Bucket {
            started: 0,
            good: 0,
            bad: 0,
            attempts: 0,
            executed: 0,
            waiting: 0,
            latency: Histogram::new(LATENCY_BITS),
        };
        Self { width, buckets: (0..count).map(|_| empty.clone()).collect() }
    }

    /// How much time a bucket stands for.
    #[must_use]
    pub const fn width(&self) -> Duration {
        self.width
    }

    /// All of them.
    #[must_use]
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The bucket of a moment; `None` after the end.
    pub fn at(&mut self, now: Timestamp) -> Option<&mut Bucket> {
        let place = now.as_nanos() / nanos(self.width);
        self.buckets.get_mut(usize::try_from(place).ok()?)
    }

    /// The place of the bucket in which a moment lies.
    #[must_use]
    pub fn place(&self, at: Duration) -> usize {
        usize::try_from(nanos(at) / nanos(self.width)).unwrap_or(usize::MAX)
    }
}

impl Bucket {
    /// Whether more than one call in a hundred ended badly (a single one has to be one in ten), or most of those that
    /// begin get no answer.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        let all = self.good + self.bad;
        let fails = self.bad * 100 > all && (self.bad > 1 || self.bad * 10 > all);
        fails || (self.started >= ENOUGH && self.good * 2 < self.started)
    }
}

/// The least width of the row 1, 2, 5, 10, ... milliseconds that needs no more than `BUCKETS`.
fn width(length: Duration) -> Duration {
    let decades = (0..9).flat_map(|decade| [1, 2, 5].map(|n| n * 10_u64.pow(decade)));
    let widths = decades.map(Duration::from_millis);
    let fits = |width: &Duration| nanos(length).div_ceil(nanos(*width)) <= BUCKETS;
    widths.into_iter().skip(SKIPPED).find(fits).unwrap_or(length)
}

/// A plot of a page's width has a point for each two or three pixels.
pub(super) const BUCKETS: u64 = 400;

/// Finer than 10 ms, a bucket holds hardly a call.
const SKIPPED: usize = 3;

/// Of fewer calls that begin in a bucket, chance alone may end them all in the next.
const ENOUGH: u64 = 10;

/// Off by an eighth: good enough for a curve, and 400 of them are small.
const LATENCY_BITS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_bounded_and_its_width_is_round() {
        let width = |seconds| Series::over(Duration::from_secs(seconds)).width().as_millis();
        assert_eq!([1, 4, 60, 300, 3600, 86_400].map(width), [10, 10, 200, 1_000, 10_000, 500_000]);
        assert_eq!(Series::over(Duration::from_secs(60)).buckets().len(), 300);
    }

    #[test]
    fn a_moment_after_the_end_has_no_bucket() {
        let mut series = Series::over(Duration::from_secs(1));
        assert!(series.at(Timestamp::from_millis(999)).is_some());
        assert!(series.at(Timestamp::from_millis(1000)).is_none());
    }
}
