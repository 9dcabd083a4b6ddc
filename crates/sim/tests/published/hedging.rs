//! "The Tail at Scale" (Dean and Barroso, CACM 2013): a second request after a short wait cuts the tail.
//!
//! Published: 1,000 keys read from 100 servers; hedged after 10 ms, the 99.9th percentile of having all 1,000 falls from
//! 1,800 ms to 74 ms, for 2 % more requests. That is the one-in-a-million percentile of a single read. What single reads
//! take wasn't published, but two of the three figures fix a lognormal: one in fifty above 10 ms, one in a million
//! above 1,800 ms, which is a median of 0.194 ms and a 99th percentile of 16.9 ms. The third has to come out.
//!
//! One in a million is too rare to be met often enough here: a million reads meet it once. So one in a hundred thousand
//! is held to what the lognormal says, and the published pair to its proportion.
//!
//! Near enough: one in a hundred thousand within 15 %; the tail cut by more than ten times; 1.6 % to 2.4 % more requests.
//! After the 95th percentile 4 % to 6 %, as published "about 5 %". One server of a hundred slow in 1 % of the cases: 63 % of
//! what asks all of them is slow, within 2 percentage points.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::call::{HedgeAfter, HedgeSettings};
use mainstay_core::upstream::Percentile;
use mainstay_core::{CallPolicy, Checked};
use mainstay_sim::{Checks, Policy, Report, Simulation, World};

/// Reads from a hundred servers, or from one.
pub(crate) fn reads(hedge: Option<HedgeAfter>, service: &str, seconds: u32) -> Report {
    let mut text = format!(
        "[world]\nname = \"reads\"\nduration = \"{seconds}s\"\n[load]\narrivals = \"poisson\"\nrate = 2000\n\
         [network]\nlatency = \"0ms\"\n"
    );
    for server in 0..100 {
        text.push_str(&format!(
            "[[endpoint]]\nname = \"{server}\"\nservice = \"{service}\"\ntls = false\n"
        ));
    }
    let world = World::parse(&text, None).unwrap();
    // Round robin: the one that is asked says nothing about how long it takes, as in the paper.
    let config = "[upstream.world]\nendpoints = [\"https://world.example\"]\nbalance = \"round-robin\"\nejection = false\nhealth = false\nattempt_timeout = \"5s\"\n";
    let mut policy = Policy::parse("reads", config, &world).unwrap();
    let hedge = hedge.map(|after| HedgeSettings { after, ..HedgeSettings::default() });
    let call = CallPolicy { hedge, ..(**policy.reads).clone() };
    policy.reads = Arc::new(Checked::new(call).unwrap());
    let report = Simulation::new(&world, &policy, Checks::Often).run();
    assert_eq!(report.violations.0, 0, "{:#?}", report.violations);
    report
}

/// What so many in a million take longer than, in milliseconds.
pub(crate) fn tail_millis(report: &Report, millionths: u32) -> f64 {
    report.times.percentile(1_000_000 - millionths).unwrap().as_secs_f64() * 1e3
}

pub(crate) fn extra_percent(report: &Report) -> f64 {
    report.extra_attempts as f64 * 100.0 / report.calls as f64
}

#[test]
fn hedging_after_ten_milliseconds_cuts_the_tail_by_more_than_ten_times() {
    let without = reads(None, BIGTABLE, SECONDS);
    let after = HedgeAfter::Fixed(Duration::from_millis(10));
    let hedged = reads(Some(after), BIGTABLE, SECONDS);
    let extra = extra_percent(&hedged);
    let tails = |millionths| (tail_millis(&without, millionths), tail_millis(&hedged, millionths));
    let (rare, rarest) = (tails(10), tails(1));
    println!("{rare:.0?} ms, {rarest:.0?} ms, {extra:.2} % more requests");
    // exp(ln 0.194 + 1.92 × 4.265), and where both reads' chances multiply to the same, the second 10 ms late.
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.15;
    assert!(near(rare.0, 698.0) && near(rare.1, 41.0), "{rare:?}");
    assert!(rare.1 * 10.0 < rare.0 && rarest.1 * 10.0 < rarest.0, "{rare:?} {rarest:?}");
    assert!((1.6..2.4).contains(&extra), "{extra}");
}

#[test]
fn hedging_after_the_95th_percentile_costs_about_a_twentieth() {
    let hedged = reads(Some(HedgeAfter::Percentile(Percentile::P95)), BIGTABLE, 300);
    let extra = extra_percent(&hedged);
    println!("{extra:.2} % more requests");
    assert!((4.0..6.0).contains(&extra), "{extra}");
}

#[test]
fn who_asks_a_hundred_servers_mostly_waits_for_a_slow_one() {
    let report = reads(None, "median=10ms p99=1s", 100);
    let second = report.times.percentile(990_000).unwrap().as_secs_f64();
    assert!((0.9..1.1).contains(&second), "{second}");
    // How many in a million are above a second.
    let above = (1..=1_000_000_u32)
        .step_by(100)
        .find(|it| report.times.percentile(1_000_000 - it).unwrap() <= Duration::from_secs(1))
        .unwrap();
    let share = 1.0 - (1.0 - f64::from(above) / 1e6).powi(100);
    println!("{above} in a million above a second, {:.1} % of the hundredfold", share * 100.0);
    assert!((share - 0.63).abs() < 0.02, "{share}");
}

pub(crate) const BIGTABLE: &str = "median=0.194ms p99=16.9ms";

/// A million reads.
pub(crate) const SECONDS: u32 = 500;
