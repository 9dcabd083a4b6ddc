//! The last hour in buckets, and numbers small enough for it.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::Timestamp;

/// How long a bucket is: short enough that an outage's beginning and end are seen, long enough that a thousand endpoints fit.
pub(crate) const BUCKET: Duration = Duration::from_secs(10);

/// An hour.
pub(crate) const BUCKETS: usize = 360;

/// Which bucket, counted from the clock's zero.
pub(crate) fn bucket_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_nanos() / BUCKET.as_nanos() as u64).unwrap_or(u32::MAX)
}

/// When a bucket begins.
pub(crate) fn begin_of(bucket: u32) -> Timestamp {
    Timestamp::from_millis(u64::from(bucket) * BUCKET.as_millis() as u64)
}

/// The last [`BUCKETS`] buckets. Those of which nothing is known are the default.
#[derive(Debug, Default)]
pub(crate) struct Ring<B> {
    /// The number of the first.
    first: u32,
    kept: VecDeque<B>,
}

impl<B: Copy + Default> Ring<B> {
    /// Puts a bucket at its place. One before the last is too late, and left out.
    pub(crate) fn put(&mut self, bucket: u32, what: B) {
        let end = self.end();
        if self.kept.is_empty() || bucket.saturating_sub(end) as usize >= BUCKETS {
            self.kept.clear();
            self.first = bucket;
        } else if bucket < end {
            return;
        }
        for _ in self.end()..bucket {
            self.push(B::default());
        }
        self.push(what);
    }

    fn push(&mut self, what: B) {
        if self.kept.len() == BUCKETS {
            self.kept.pop_front();
            self.first += 1;
        }
        if self.kept.len() == self.kept.capacity() {
            // Doubled like any other, but never beyond what is needed: that is what the bound on memory is stated by.
            let more = self.kept.len().max(4).min(BUCKETS - self.kept.len());
            self.kept.reserve_exact(more);
        }
        self.kept.push_back(what);
    }

    /// The number of the bucket after the last.
    pub(crate) fn end(&self) -> u32 {
        self.first + self.kept.len() as u32
    }

    /// What is known of a bucket.
    pub(crate) fn get(&self, bucket: u32) -> Option<&B> {
        let place = bucket.checked_sub(self.first)?;
        self.kept.get(place as usize)
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<B>()
    }
}

/// A number to one in two thousand, in two bytes: eleven bits, and by how many they are shifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Short(u16);

impl Short {
    pub(crate) fn of(number: u64) -> Self {
        let bits = u64::BITS - number.leading_zeros();
        let shift = bits.saturating_sub(MANTISSA);
        // Rounding up may need one bit more.
        let rounded = if shift == 0 { number } else { (number >> (shift - 1)).div_ceil(2) };
        let (shift, rounded) =
            if rounded >> MANTISSA == 0 { (shift, rounded) } else { (shift + 1, rounded >> 1) };
        if shift >= 1 << (u16::BITS - MANTISSA) {
            return Self(u16::MAX);
        }
        Self((shift << MANTISSA) as u16 | rounded as u16)
    }

    pub(crate) const fn get(self) -> u64 {
        let mantissa = self.0 as u64 & ((1 << MANTISSA) - 1);
        mantissa << (self.0 >> MANTISSA)
    }

    /// A length of time; nothing is zero.
    pub(crate) fn of_time(time: Option<Duration>) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        Self::of(time.map_or(0, micros))
    }

    pub(crate) fn time(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_micros(self.get()))
    }
}

const MANTISSA: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_exact_while_small_and_near_enough_when_large() {
        for number in 0..=2048 {
            assert_eq!(Short::of(number).get(), number);
        }
        for number in
            (11..41).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) * 4 / 3])
        {
            let error = Short::of(number).get().abs_diff(number);
            assert!(error * 2048 <= number, "{number}: {error}");
        }
        assert_eq!(Short::of(u64::MAX).get(), 2047 << 31);
        assert_eq!(Short::of_time(None).time(), None);
        assert_eq!(Short::of_time(Some(Duration::ZERO)).time(), Some(Duration::from_micros(1)));
    }

    #[test]
    fn a_ring_holds_an_hour_and_knows_its_gaps() {
        let mut ring = Ring::default();
        ring.put(7, 70_u32);
        ring.put(9, 90);
        ring.put(8, 80);
        let known = |ring: &Ring<u32>, range: std::ops::Range<u32>| {
            range.map(|bucket| ring.get(bucket).copied()).collect::<Vec<_>>()
        };
        assert_eq!(known(&ring, 6..11), [None, Some(70), Some(0), Some(90), None]);
        (10..1000).for_each(|bucket| ring.put(bucket, bucket));
        assert_eq!(known(&ring, 639..641), [None, Some(640)]);
        assert_eq!((ring.end(), ring.bytes()), (1000, 360 * 4));
        ring.put(5000, 1);
        assert_eq!(known(&ring, 4999..5001), [None, Some(1)]);
    }
}
