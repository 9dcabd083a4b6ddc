//! Backoff for any settings: its bounds, and how its jitter is spread.

use std::time::Duration;

use mainstay_core::Chance;
use mainstay_core::retry::backoff::{BackoffSettings, Growth, Jitter, wait, wait_after_hint};
use proptest::prelude::*;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0_u64..100_000_000_000).prop_map(Duration::from_nanos),
        1 => any::<Duration>(),
        1 => Just(Duration::MAX),
        1 => Just(Duration::ZERO),
    ]
}

fn growth() -> impl Strategy<Value = Growth> {
    prop_oneof![
        (100_u16..=1_000).prop_map(|factor_percent| Growth::Exponential { factor_percent }),
        any::<u16>().prop_map(|factor_percent| Growth::Exponential { factor_percent }),
        Just(Growth::Linear),
        Just(Growth::Constant),
    ]
}

/// Settings of any kind, most of which nobody would let pass.
fn settings(jitter: Jitter) -> impl Strategy<Value = BackoffSettings> {
    (growth(), duration(), duration()).prop_map(move |(growth, base, cap)| BackoffSettings {
        growth,
        base,
        cap,
        jitter,
    })
}

/// Settings within the rules.
fn sane(jitter: Jitter) -> impl Strategy<Value = BackoffSettings> {
    let factor =
        (100_u16..=1_000).prop_map(|factor_percent| Growth::Exponential { factor_percent });
    let growth = prop_oneof![factor, Just(Growth::Linear), Just(Growth::Constant)];
    (growth, 1_u64..60_000, 1_u64..60).prop_map(move |(growth, base, times)| BackoffSettings {
        growth,
        base: Duration::from_millis(base),
        cap: Duration::from_millis(base * times),
        jitter,
    })
}

/// The longest that a wait can count: whole nanoseconds in 64 bits.
fn longest(length: Duration) -> Duration {
    length.min(Duration::from_nanos(u64::MAX))
}

/// The wait without jitter.
fn plain(settings: &BackoffSettings, retry: u8) -> Duration {
    let settings = BackoffSettings { jitter: Jitter::None, ..settings.clone() };
    wait(&settings, retry, Duration::ZERO, &mut Chance::from_seed(0))
}

/// The mean of many waits, in seconds.
fn mean(settings: &BackoffSettings, retry: u8, last: Duration) -> f64 {
    let mut chance = Chance::from_seed(11);
    let waits = (0..4_000).map(|_| wait(settings, retry, last, &mut chance).as_secs_f64());
    waits.sum::<f64>() / 4_000.0
}

proptest! {
    #[test]
    fn no_wait_is_above_the_cap_whatever_the_settings(
        settings in prop_oneof![
            settings(Jitter::None),
            settings(Jitter::Full),
            settings(Jitter::Equal),
            settings(Jitter::Decorrelated),
        ],
        retry: u8,
        last in duration(),
        seed: u64,
    ) {
        let wait = wait(&settings, retry, last, &mut Chance::from_seed(seed));
        prop_assert!(wait <= settings.cap, "{:?}", wait);
    }

    #[test]
    fn a_wait_without_jitter_never_shrinks(settings in sane(Jitter::None), retry in 1_u8..255) {
        let (this, next) = (plain(&settings, retry), plain(&settings, retry + 1));
        prop_assert!(settings.base <= this && this <= next, "{:?} then {:?}", this, next);
    }

    #[test]
    fn the_growth_is_what_floating_point_says(
        base in 1_u64..60_000,
        factor_percent in 100_u16..=1_000,
        retry in 1_u8..=10,
    ) {
        let settings = BackoffSettings {
            growth: Growth::Exponential { factor_percent },
            base: Duration::from_millis(base),
            cap: Duration::from_secs(3_600),
            jitter: Jitter::None,
        };
        let factor = f64::from(factor_percent) / 100.0;
        let expected = (base as f64 / 1e3 * factor.powi(i32::from(retry) - 1)).min(3_600.0);
        let wait = plain(&settings, retry).as_secs_f64();
        prop_assert!((wait - expected).abs() <= expected * 1e-4, "{} for {}", wait, expected);
    }

    #[test]
    fn full_jitter_is_half_of_the_wait_on_average(settings in sane(Jitter::Full), retry in 1_u8..=10) {
        let whole = plain(&settings, retry).as_secs_f64();
        let share = mean(&settings, retry, Duration::ZERO) / whole;
        prop_assert!((0.47..0.53).contains(&share), "{}", share);
    }

    #[test]
    fn equal_jitter_keeps_half_of_the_wait(
        settings in sane(Jitter::Equal),
        retry in 1_u8..=10,
        seed: u64,
    ) {
        let whole = plain(&settings, retry);
        let one = wait(&settings, retry, Duration::ZERO, &mut Chance::from_seed(seed));
        prop_assert!((whole / 2..=whole).contains(&one), "{:?} of {:?}", one, whole);
        let share = mean(&settings, retry, Duration::ZERO) / whole.as_secs_f64();
        prop_assert!((0.73..0.77).contains(&share), "{}", share);
    }

    #[test]
    fn decorrelated_jitter_is_between_the_base_and_three_times_the_last_wait(
        settings in sane(Jitter::Decorrelated),
        last in duration(),
        seed: u64,
    ) {
        let most = last.max(settings.base).saturating_mul(3).min(settings.cap);
        let one = wait(&settings, 1, last, &mut Chance::from_seed(seed));
        prop_assert!((settings.base..=most).contains(&one), "{:?} up to {:?}", one, most);
        let middle = (settings.base + most).as_secs_f64() / 2.0;
        let share = mean(&settings, 1, last) / middle;
        prop_assert!((0.97..1.03).contains(&share), "{}", share);
    }

    #[test]
    fn a_wait_after_a_hint_is_never_shorter_than_the_hint_and_a_tenth_longer_at_most(
        hint in duration(),
        own in duration(),
        seed: u64,
    ) {
        let wait = wait_after_hint(hint, own, &mut Chance::from_seed(seed));
        let least = hint.max(own);
        let spread = (least / 10).clamp(Duration::from_millis(10), Duration::from_secs(5));
        prop_assert!(least <= wait && wait <= least.saturating_add(spread), "{:?}", wait);
    }

    #[test]
    fn the_same_seed_waits_the_same(settings in settings(Jitter::Full), retry: u8, seed: u64) {
        let once = || wait(&settings, retry, Duration::ZERO, &mut Chance::from_seed(seed));
        prop_assert_eq!(once(), once());
        prop_assert!(once() <= longest(settings.cap));
    }
}
