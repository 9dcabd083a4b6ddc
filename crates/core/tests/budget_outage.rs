//! What the default budget does to traffic that fails: it heals what can be healed and stops in an outage.
//!
//! Independent failures, three attempts, no latency, 100 calls a second: a small world with a fixed seed.

use std::sync::Arc;

use mainstay_core::budget::{Budget, BudgetSettings, Price};
use mainstay_core::{Chance, Ratio, Timestamp};

/// A minute of warming up isn't counted.
const WARM_UP_SECONDS: u64 = 60;
const SECONDS: u64 = 600;
const CALLS_A_SECOND: u64 = 100;

#[derive(Default)]
struct Tally {
    calls: u64,
    attempts: u64,
    good: u64,
}

impl Tally {
    /// Attempts at the upstream for each call.
    fn load(&self) -> f64 {
        self.attempts as f64 / self.calls as f64
    }

    /// Calls that were good in the end, in percent.
    fn healed(&self) -> f64 {
        100.0 * self.good as f64 / self.calls as f64
    }
}

/// One call: an attempt, and at most two more if the budget pays for them.
fn call(budget: &Arc<Budget>, failing: Ratio, now: Timestamp, chance: &mut Chance) -> (u64, bool) {
    budget.on_call(now);
    if !chance.happens(failing) {
        budget.on_first_try_success();
        return (1, true);
    }
    for attempts in 1..3 {
        let Some(reservation) = budget.reserve(Price::Transient, now) else {
            return (attempts, false);
        };
        let charge = reservation.charge(now);
        if !chance.happens(failing) {
            charge.refund();
            return (attempts + 1, true);
        }
    }
    (3, false)
}

/// Ten minutes of traffic of which this share fails, after a minute of it (or of health, from which it then falls).
fn run(percent: u16, healthy_before: bool) -> Tally {
    let budget = Budget::new(BudgetSettings::default());
    let mut chance = Chance::from_seed(2015);
    let mut tally = Tally::default();
    for n in 0..(WARM_UP_SECONDS + SECONDS) * CALLS_A_SECOND {
        let now = Timestamp::from_millis(n * 1_000 / CALLS_A_SECOND);
        let warming = n < WARM_UP_SECONDS * CALLS_A_SECOND;
        let percent = if warming && healthy_before { 0 } else { percent };
        let (attempts, good) = call(&budget, Ratio::percent(percent), now, &mut chance);
        if !warming {
            tally.calls += 1;
            tally.attempts += attempts;
            tally.good += u64::from(good);
        }
    }
    tally
}

fn check(percent: u16, load: f64, healed: f64) {
    let tally = run(percent, false);
    let (real_load, real_healed) = (tally.load(), tally.healed());
    assert!((real_load - load).abs() <= 0.015, "{percent} % fail: load {real_load:.3}");
    assert!((real_healed - healed).abs() <= 1.0, "{percent} % fail: healed {real_healed:.2} %");
}

#[test]
fn practically_every_call_is_healed_while_one_in_ten_fails() {
    // Three attempts at 5 % leave 0.0125 % of the calls, at 10 % 0.1 %: nobody could do better.
    let five = run(5, false);
    assert!(five.healed() >= 99.97, "{}", five.healed());
    assert!(five.load() <= 1.06, "{}", five.load());
    let ten = run(10, false);
    assert!(ten.healed() >= 99.87, "{}", ten.healed());
    assert!(ten.load() <= 1.12, "{}", ten.load());
}

#[test]
fn an_outage_is_not_amplified() {
    let tally = run(100, true);
    assert_eq!(tally.good, 0);
    assert!(tally.load() <= 1.02, "{}", tally.load());
    // The whole bucket, and then nothing: 500 tokens pay for 35 retries.
    assert_eq!(tally.attempts - tally.calls, 35);
}

#[test]
fn between_the_two_the_ceiling_and_then_the_bucket_take_over() {
    check(20, 1.20, 95.9);
    check(30, 1.17, 81.7);
    check(50, 1.07, 53.7);
}
