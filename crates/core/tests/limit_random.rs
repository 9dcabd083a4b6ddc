//! A limit stays within its bounds, whatever it is told.

use std::time::Duration;

use mainstay_core::limit::{AdaptiveSettings, GradientRule, Limit, LimitRule, LimitSettings};
use mainstay_core::{Checked, Ratio, Timestamp};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Answers {
        took: Duration,
        in_flight: u32,
        times: u32,
    },
    Drops {
        in_flight: u32,
        times: u32,
    },
    Wait(Duration),
    /// The clock of another thread, which is behind.
    Back(Duration),
    Renew(LimitSettings),
}

fn gradient() -> impl Strategy<Value = LimitRule> {
    (1_u16..=100, 1_u32..=1_000, 10_u32..=100_000, 100_u16..=1_000).prop_map(
        |(smoothing, queue, long_window, tolerance_percent)| {
            LimitRule::Gradient(GradientRule {
                smoothing: Ratio::percent(smoothing),
                queue,
                long_window,
                tolerance_percent,
            })
        },
    )
}

fn rule() -> impl Strategy<Value = LimitRule> {
    let aimd = prop::option::of(length()).prop_map(|slow_after| LimitRule::Aimd {
        slow_after: slow_after
            .map(|after| after.clamp(Duration::from_millis(1), Duration::from_secs(3600))),
    });
    prop_oneof![gradient(), aimd]
}

fn bound() -> impl Strategy<Value = u32> {
    prop_oneof![1_u32..30, 1_u32..=100_000]
}

fn settings() -> impl Strategy<Value = LimitSettings> {
    let numbers = (100_u64..=60_000, 1_u32..=1_000, 10_u16..=99, 0_u16..=99);
    (rule(), [bound(), bound(), bound()], numbers).prop_map(
        |(rule, mut bounds, (window, minimum_samples, backoff, tolerated))| {
            bounds.sort_unstable();
            let [min, initial, max] = bounds;
            LimitSettings::Adaptive(AdaptiveSettings {
                rule,
                min,
                max,
                initial,
                window: Duration::from_millis(window),
                minimum_samples,
                backoff: Ratio::percent(backoff),
                tolerated_drops: Ratio::percent(tolerated),
            })
        },
    )
}

/// From nothing to more than anybody waits.
fn length() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..2_000_000_000).prop_map(Duration::from_nanos),
        (0_u64..100_000).prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let in_flight = || prop_oneof![0_u32..300, any::<u32>()];
    prop_oneof![
        8 => (length(), in_flight(), 1_u32..50)
            .prop_map(|(took, in_flight, times)| Step::Answers { took, in_flight, times }),
        4 => (in_flight(), 1_u32..50)
            .prop_map(|(in_flight, times)| Step::Drops { in_flight, times }),
        8 => (0_u64..3_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        1 => length().prop_map(Step::Wait),
        1 => (0_u64..3_000).prop_map(|millis| Step::Back(Duration::from_millis(millis))),
        1 => settings().prop_map(Step::Renew),
    ]
}

fn check(limit: &Limit, settings: &LimitSettings) -> Result<(), TestCaseError> {
    let LimitSettings::Adaptive(settings) = settings else { unreachable!("all are adaptive") };
    let (view, current) = (limit.view(), limit.current());
    prop_assert!((settings.min..=settings.max).contains(&current), "{current}");
    prop_assert_eq!((view.current, view.min, view.max), (current, settings.min, settings.max));
    Ok(())
}

proptest! {
    #[test]
    fn a_limit_stays_within_its_bounds(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut settings = settings;
        prop_assert!(Checked::new(settings.clone()).is_ok());
        let mut limit = Limit::new(settings.clone());
        let mut now = Timestamp::ZERO;
        check(&limit, &settings)?;
        for step in steps {
            let before = limit.current();
            match step {
                Step::Answers { took, in_flight, times } => {
                    for _ in 0..times {
                        let change = limit.on_answer(took, in_flight, now);
                        prop_assert!(change.is_none_or(|change| change.from != change.to));
                    }
                }
                Step::Drops { in_flight, times } => {
                    for _ in 0..times {
                        let change = limit.on_drop(in_flight, now);
                        prop_assert!(change.is_none_or(|change| change.to == limit.current()));
                    }
                }
                Step::Wait(length) => now = now + length,
                Step::Back(length) => now = now - length,
                Step::Renew(new) => {
                    limit = limit.renewed(new.clone());
                    settings = new;
                }
            }
            check(&limit, &settings)?;
            prop_assert!(before > 0);
        }
    }
}
