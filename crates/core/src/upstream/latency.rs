//! Peak EWMA: a moving average of an endpoint's latency that believes bad news at once and good news slowly.
//!
//! The rule is that of Finagle's `PeakEwma` balancer. A sample above the average becomes the average; one below
//! it pulls the average down by 1 − w, where w says how much the past still weighs. Two things differ:
//!
//! - w is exp(−(x + x²)) with x = age / decay time, not exp(−x). For the ages of a busy endpoint both are the same. But an
//!   endpoint that got a penalty isn't asked any more, so only age can bring it back, and a plain exponential
//!   takes ln(5 s / 5 ms) ≈ 7 decay times to bring a penalty of 5 s down to its peers' 5 ms. This takes 2.2, and 2.9 from 5 min.
//! - Time is counted in steps of about a millisecond, and of the samples below the average only the first in a step
//!   is taken in. That bounds what a busy endpoint costs, and loses nothing that an average over seconds could show.
//!
//! Both numbers live in one word. Of two updates that race, a rise is never lost to a fall, and nothing is torn.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use crate::time::{Timestamp, nanos};

/// The average of one endpoint: the upper half is the step of the last sample, the lower half the latency in
/// units of 128 ns (up to 9 minutes). Zero is an endpoint without any sample.
#[derive(Debug, Default)]
pub(super) struct PeakEwma(AtomicU64);

/// How fast an average forgets, prepared so that no division is left for the hot path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    /// 1 / decay time, in 2^-32 per step.
    per_step: u64,
}

impl PeakEwma {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The average at `now`, in units; `None` for an endpoint without any sample.
    ///
    /// Ages up to a thousandth of the decay time, as busy endpoints have them, are left out of account.
    #[inline]
    pub(super) fn units(&self, decay: Decay, now: Timestamp) -> Option<u32> {
        let word = self.0.load(Relaxed);
        let (units, age) = (word as u32, age(word, now));
        match units {
            0 => None,
            _ if u64::from(age) * decay.per_step < YOUNG => Some(units),
            _ => Some(scaled(units, decay.weight(age))),
        }
    }

    /// The average at `now`, to be shown; zero for an endpoint without any sample.
    pub(super) fn shown(&self, decay: Decay, now: Timestamp) -> Duration {
        let units = self.units(decay, now).unwrap_or(0);
        Duration::from_nanos(u64::from(units) << UNIT_BITS)
    }

    /// Takes in a sample.
    #[inline]
    pub(super) fn observe(&self, sample: Duration, decay: Decay, now: Timestamp) {
        let sample = units_of(sample);
        let mut word = self.0.load(Relaxed);
        loop {
            let average = word as u32;
            let rises = sample >= average;
            let age = age(word, now);
            if !rises && age == 0 {
                return;
            }
            let next = if rises { sample } else { between(average, sample, decay.weight(age)) };
            match self.0.compare_exchange_weak(word, packed(next, now), Relaxed, Relaxed) {
                Ok(_) => return,
                // Whoever came first has taken in a sample of the same moment: a fall may be lost, a rise may not.
                Err(_) if !rises => return,
                Err(newer) => word = newer,
            }
        }
    }

    /// Takes in that something took at least this long: it can raise the average, and says nothing else.
    #[inline]
    pub(super) fn at_least(&self, sample: Duration, decay: Decay, now: Timestamp) {
        if self.units(decay, now).is_none_or(|average| units_of(sample) > average) {
            self.observe(sample, decay, now);
        }
    }

    /// Forgets all samples: what was learned before an endpoint went down says nothing once it is back.
    pub(super) fn forget(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Decay {
    pub(super) fn over(decay_time: Duration) -> Self {
        Self { per_step: (1 << (32 + STEP_BITS)) / nanos(decay_time).max(1) }
    }

    /// exp(−(x + x²)) in 2^-32, where x = `steps` / decay time. Never rises with age; off by less than 0.1 % of
    /// itself up to x = 3, and by less than 1 % of 1 − w, however small the age.
    fn weight(self, steps: u32) -> u64 {
        if steps == 0 {
            return 1 << 32;
        }
        let x = u64::from(steps).saturating_mul(self.per_step);
        if x >= MOST_X {
            return 0;
        }
        let exponent = x + (((x >> 14) * (x >> 14)) >> 4);
        // exp(−e) is 2^−(e × log2(e)): the whole part is a shift, and a cubic stands for the rest.
        let octaves = (exponent * LOG2_E) >> 24;
        let rest = octaves & 0xffff_ffff;
        let bend = CUBIC[1] - ((rest * CUBIC[2]) >> 32);
        let slope = CUBIC[0] - ((rest * bend) >> 32);
        let within = (1 << 32) - ((rest * slope) >> 30);
        within >> (octaves >> 32)
    }
}

fn age(word: u64, now: Timestamp) -> u32 {
    let steps = step(now).wrapping_sub((word >> 32) as u32);
    // Steps wrap after 52 days, and a thread may bring a slightly older `now` than the last one did.
    if steps > u32::MAX - LATE_STEPS { 0 } else { steps }
}

fn step(now: Timestamp) -> u32 {
    (now.as_nanos() >> STEP_BITS) as u32
}

fn packed(units: u32, now: Timestamp) -> u64 {
    u64::from(step(now)) << 32 | u64::from(units)
}

/// At least 1, since 0 says that there was no sample.
pub(super) fn units_of(latency: Duration) -> u32 {
    u32::try_from(nanos(latency) >> UNIT_BITS).unwrap_or(u32::MAX).max(1)
}

fn scaled(units: u32, weight: u64) -> u32 {
    ((u64::from(units) * weight) >> 32).max(1) as u32
}

fn between(average: u32, sample: u32, weight: u64) -> u32 {
    sample + ((u64::from(average - sample) * weight) >> 32) as u32
}

/// A step is 2^20 ns, about 1.05 ms.
const STEP_BITS: u32 = 20;

/// A unit is 2^7 ns.
pub(super) const UNIT_BITS: u32 = 7;

/// How much older a thread's `now` may be than the last sample's, about a minute.
const LATE_STEPS: u32 = 1 << 16;

/// exp(−(6 + 36)) is below every unit; and no product overflows below it.
const MOST_X: u64 = 6 << 32;

/// 2^-10 in 2^-32.
const YOUNG: u64 = 1 << 22;

/// log2(e) in 2^-24.
const LOG2_E: u64 = 24_204_406;

/// 2^-f ≈ 1 − 0.6931 f + 0.2329 f² − 0.0397 f³, in 2^-30: exact in value and slope at 0 and at 1, within 0.07 % between. The
/// slope at 0 matters most: a busy endpoint's ages are small, and an error there would stretch the decay time.
const CUBIC: [u64; 3] = [744_261_118, 250_040_059, 42_649_853];

#[cfg(test)]
mod tests {
    use super::*;

    const TAU: Duration = Duration::from_secs(10);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The average, in milliseconds and rounded, after samples of (time, latency), read at `at`; all in ms.
    fn average(samples: &[(u64, u64)], at: u64) -> u64 {
        let (ewma, decay) = (PeakEwma::new(), Decay::over(TAU));
        for &(time, latency) in samples {
            ewma.observe(ms(latency), decay, Timestamp::from_millis(time));
        }
        let shown = ewma.shown(decay, Timestamp::from_millis(at));
        (shown.as_micros() as u64 + 500) / 1000
    }

    #[test]
    fn a_sample_above_the_average_becomes_the_average() {
        assert_eq!(average(&[(0, 5), (10, 300)], 10), 300);
        assert_eq!(average(&[(0, 5), (0, 300)], 0), 300);
    }

    #[test]
    fn samples_below_pull_it_down_slowly() {
        // One decay time at ten samples a second leaves 300 × exp(−1) plus what was sampled.
        let mut samples = std::vec![(0, 300)];
        samples.extend((1..=100).map(|n| (n * 100, 10)));
        assert!((115..=117).contains(&average(&samples, 10_000)), "{}", average(&samples, 10_000));
    }

    #[test]
    fn a_penalty_is_forgotten_within_a_few_decay_times() {
        assert_eq!(average(&[(0, 5000)], 0), 5000);
        assert!((660..=690).contains(&average(&[(0, 5000)], 10_000)));
        assert!(average(&[(0, 5000)], 22_000) <= 5);
        assert!(average(&[(0, 300_000)], 29_000) <= 5);
    }

    #[test]
    fn an_average_never_falls_to_what_says_untested() {
        let (ewma, decay) = (PeakEwma::new(), Decay::over(TAU));
        assert_eq!(ewma.units(decay, Timestamp::ZERO), None);
        ewma.observe(Duration::ZERO, decay, Timestamp::ZERO);
        assert_eq!(ewma.units(decay, Timestamp::from_millis(1 << 30)), Some(1));
        ewma.forget();
        assert_eq!(ewma.units(decay, Timestamp::ZERO), None);
    }

    #[test]
    fn the_weight_is_close_to_the_exponential_and_never_rises() {
        let decay = Decay::over(TAU);
        let mut last = 1 << 32;
        for steps in 0..30_000_u32 {
            let weight = decay.weight(steps);
            assert!(weight <= last, "rises at {steps}");
            last = weight;
            let x = f64::from(steps) * f64::from(1 << STEP_BITS) / 1e10;
            let exact = (-(x + x * x)).exp();
            let error = (weight as f64 / f64::from(1 << 16) / f64::from(1 << 16) - exact) / exact;
            assert!(error.abs() < 0.001, "{error} at {steps}");
            let (gain, exact_gain) = ((1_u64 << 32) - weight, 1.0 - exact);
            let gain = gain as f64 / f64::from(1 << 16) / f64::from(1 << 16);
            assert!((gain - exact_gain).abs() <= 0.01 * exact_gain, "{gain} at {steps}");
        }
        assert_eq!(decay.weight(u32::MAX), 0);
    }

    #[test]
    fn news_of_a_slightly_earlier_moment_change_no_age() {
        assert_eq!(average(&[(1000, 300), (900, 5)], 950), 300);
    }
}
