//! Lengths of time counted in buckets whose width grows with the length: constant memory, a known error.
//!
//! Each power of two has `2^bits` buckets, so a percentile is off by at most one part in `2^bits`, whatever its size.

use std::time::Duration;

use mainstay_core::time::nanos;

/// Counts of lengths.
#[derive(Clone, Debug)]
pub struct Histogram {
    bits: u32,
    /// As long as the longest length that was counted needs.
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    /// Nothing is counted; percentiles will be off by at most 1 / `2^bits`.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self { bits, counts: Vec::new(), total: 0 }
    }

    /// Counts a length.
    pub fn add(&mut self, length: Duration) {
        let place = self.place(nanos(length));
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.total += 1;
    }

    /// How many were counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The length that so many in a million don't exceed; `None` of nothing.
    #[must_use]
    pub fn percentile(&self, millionths: u32) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let whole = u128::from(self.total) * u128::from(millionths);
        let rank = u64::try_from(whole.div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(Duration::from_nanos(self.middle(place)));
            }
        }
        None
    }

    fn place(&self, value: u64) -> usize {
        let exponent = (u64::BITS - value.leading_zeros()).saturating_sub(self.bits + 1);
        // Below 2^(bits + 1) each value has a bucket of its own.
        (((exponent as u64) << self.bits) + (value >> exponent)) as usize
    }

    /// The middle of a bucket.
    fn middle(&self, place: usize) -> u64 {
        let place = place as u64;
        let exponent = (place >> self.bits).saturating_sub(1);
        let mantissa = place - (exponent << self.bits);
        (mantissa << exponent) + ((1_u64 << exponent) >> 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_off_by_no_more_than_a_bucket() {
        for bits in [3, 6] {
            let mut histogram = Histogram::new(bits);
            let lengths: Vec<u64> = (1..=100_000).map(|n| n * n * 37).collect();
            lengths.iter().for_each(|n| histogram.add(Duration::from_nanos(*n)));
            for millionths in [1_000, 500_000, 990_000, 999_000, 1_000_000] {
                let rank =
                    (lengths.len() as u64 * u64::from(millionths)).div_ceil(1_000_000) as usize;
                let exact = lengths[rank - 1];
                let found = nanos(histogram.percentile(millionths).unwrap());
                assert!(
                    found.abs_diff(exact) <= (exact >> bits) + 1,
                    "{bits}: {found} for {exact}"
                );
            }
        }
    }

    #[test]
    fn nothing_has_no_percentile_and_every_length_a_place() {
        let mut histogram = Histogram::new(6);
        assert_eq!(histogram.percentile(500_000), None);
        for length in
            [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(500 * 365 * 86_400)]
        {
            histogram.add(length);
        }
        assert_eq!(histogram.percentile(1), Some(Duration::ZERO));
    }
}
