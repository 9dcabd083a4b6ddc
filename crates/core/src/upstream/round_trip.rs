//! The network's round trip to an endpoint, learned from how long connects take.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use super::latency::{UNIT_BITS, units_of};

/// A moving average, each sample weighing an eighth (the smoothed round-trip time of RFC 6298, section 2).
#[derive(Debug, Default)]
pub(super) struct RoundTrip(AtomicU32);

impl RoundTrip {
    /// Takes in one round trip. Of two that race one may be lost.
    pub(super) fn observe(&self, sample: Duration) {
        let (sample, average) = (units_of(sample), self.0.load(Relaxed));
        let next = match average {
            0 => sample,
            _ if sample >= average => average + (sample - average) / 8,
            _ => average - (average - sample) / 8,
        };
        self.0.store(next, Relaxed);
    }

    /// The average; zero before the first sample.
    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(u64::from(self.0.load(Relaxed)) << UNIT_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_is_believed_and_later_ones_by_an_eighth() {
        let round_trip = RoundTrip::default();
        assert_eq!(round_trip.get(), Duration::ZERO);
        round_trip.observe(Duration::from_micros(800));
        assert_eq!(round_trip.get(), Duration::from_micros(800));
        round_trip.observe(Duration::from_micros(1600));
        assert_eq!(round_trip.get().as_micros(), 899);
        round_trip.observe(Duration::from_micros(100));
        assert_eq!(round_trip.get().as_micros(), 800);
    }
}
