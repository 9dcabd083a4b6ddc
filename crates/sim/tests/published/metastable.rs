//! The retry storm (Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021; Huang et al., OSDI 2022): a
//! trigger that is short pushes a system over that could carry its load, and retries keep it there when the trigger
//! has gone.
//!
//! The world is `worlds/retry-storm.toml`: 400 calls a second of capacity, 280 of load, both servers at a third of their
//! speed for 40 s, 230 s to watch what follows.
//!
//! Near enough: unbounded retries and three attempts without a budget stay down to the end; our defaults recover.

use std::time::Duration;

use mainstay_sim::outcome::Recovery;
use mainstay_sim::{Policy, Report, World, ready};

use crate::run;

fn storm() -> World {
    World::parse(ready::world("retry-storm").unwrap().text, None).unwrap()
}

/// Attempts, and nothing that holds them back.
fn blind(attempts: u32) -> String {
    format!(
        "total_timeout = \"120s\"\nejection = false\nhealth = false\nbreaker.mode = \"off\"\nretry.max_attempts = {attempts}\n\
         budget = {{ capacity = 1000000, initial = 1000000, cost = 1, throttled_cost = 1, ceiling = 1.0, floor = 1000, window = \"1s\" }}\n"
    )
}

/// Of the calls that ended in the last minute.
fn success_at_the_end(report: &Report) -> f64 {
    let buckets = (60_000 / report.width.as_millis()) as usize;
    let last = &report.points[report.points.len() - buckets..];
    let (good, bad) = last.iter().fold((0, 0), |sum, it| (sum.0 + it.good, sum.1 + it.bad));
    good as f64 / (good + bad).max(1) as f64
}

#[test]
fn unbounded_retries_stay_down_when_the_trigger_has_gone() {
    let report = run(&storm(), "unbounded", &blind(10));
    assert!(report.verdict.is_metastable);
    assert_eq!(report.verdict.recovery, Recovery::Never);
    assert!(success_at_the_end(&report) < 0.05, "{}", success_at_the_end(&report));
}

#[test]
fn three_attempts_without_a_budget_stay_down_too() {
    let report = run(&storm(), "three", &blind(3));
    assert!(report.verdict.is_metastable);
    assert!(success_at_the_end(&report) < 0.2, "{}", success_at_the_end(&report));
}

#[test]
fn one_attempt_recovers_so_the_retries_are_what_keeps_it_down() {
    let report = run(&storm(), "one", &blind(1));
    assert!(!report.verdict.is_metastable);
    assert!(success_at_the_end(&report) > 0.99);
}

#[test]
fn a_budget_alone_recovers_and_so_do_the_defaults() {
    let budget = "ejection = false\nhealth = false\nbreaker.mode = \"off\"\n";
    let world = storm();
    let defaults = Policy::defaults(&world).unwrap();
    for report in [
        run(&world, "budget alone", budget),
        mainstay_sim::Simulation::new(&world, &defaults, mainstay_sim::Checks::Often).run(),
    ] {
        println!("{}: {:?}, {:.2}", report.policy, report.verdict.recovery, report.amplification());
        assert!(!report.verdict.is_metastable, "{}", report.policy);
        assert!(report.time_to_recover().unwrap() < Duration::from_secs(90), "{}", report.policy);
        assert!(report.amplification() < 1.2, "{}", report.amplification());
        assert!(success_at_the_end(&report) > 0.999, "{}", report.policy);
    }
}
