//! Lengths of time, counted in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::time::nanos;

/// The upper bounds of the buckets in nanoseconds: 0.5 ms, what a local service takes, to 60 s, longer than which
/// nobody waits. Fixed, so that series of all upstreams and all versions can be added up.
pub(crate) const BOUNDS: [u64; 16] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// The buckets, and one for what is above all bounds.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// Two relaxed additions a measurement. The number of measurements is the sum of the buckets.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// Wraps after 584 years.
    sum_nanos: AtomicU64,
}

/// What a [`Histogram`] held when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistogramSums {
    buckets: [u64; BUCKETS],
    sum_nanos: u64,
}

impl Histogram {
    /// Counts one measurement.
    pub(crate) fn observe(&self, took: Duration) {
        let took = nanos(took);
        if let Some(bucket) = self.buckets.get(bucket_of(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(took, Ordering::Relaxed);
    }

    /// How many were measured.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Adds what is in here to `sums`.
    pub(crate) fn add_to(&self, sums: &mut HistogramSums) {
        for (sum, bucket) in sums.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        let nanos = self.sum_nanos.load(Ordering::Relaxed);
        sums.sum_nanos = sums.sum_nanos.wrapping_add(nanos);
    }

    /// Adds counts that were read elsewhere.
    pub(crate) fn absorb(&self, sums: &HistogramSums) {
        for (bucket, count) in self.buckets.iter().zip(&sums.buckets) {
            bucket.fetch_add(*count, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(sums.sum_nanos, Ordering::Relaxed);
    }
}

/// The bucket that so many nanoseconds belong to. Comparing with every bound has no branch to mispredict; bounds are
/// inclusive, as Prometheus has it.
pub(super) fn bucket_of(took: u64) -> usize {
    BOUNDS.iter().filter(|bound| took > **bound).count()
}

impl HistogramSums {
    /// How many were measured in each bucket.
    pub(crate) const fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    /// How many were measured.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.sum_nanos).as_secs_f64()
    }

    /// Each bound in seconds, with how many were at most that long.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut below = 0;
        BOUNDS.iter().zip(&self.buckets).map(move |(bound, count)| {
            below += count;
            (Duration::from_nanos(*bound).as_secs_f64(), below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_on_a_bound_is_within_it_and_the_longest_are_above_all() {
        let histogram = Histogram::default();
        for took in [0, 500_000, 500_001, 60_000_000_000, 60_000_000_001] {
            histogram.observe(Duration::from_nanos(took));
        }
        let mut sums = HistogramSums::default();
        histogram.add_to(&mut sums);
        let below: Vec<_> = sums.cumulative().collect();
        assert_eq!((below[0], below[1], below[15]), ((0.0005, 2), (0.001, 3), (60.0, 4)));
        assert_eq!(sums.count(), 5);
        assert!((sums.seconds() - 120.001).abs() < 1e-6);
    }
}
