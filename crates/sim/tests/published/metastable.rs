//! The retry storm (Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021; Huang et al., OSDI 2022): a
//! trigger that is short pushes a system over that could carry its load, and retries keep it there when the trigger
//! has gone.
//!
//! The world is `worlds/retry-storm.toml`: 400 calls a second of capacity, 280 of load, both servers at a third of their
//! speed for 40 s, 130 s to watch what follows.
//!
//! Near enough: unbounded retries and three attempts without a budget stay down to the end; our defaults recover.

use std::time::Duration;

use mainstay_sim::outcome::Recovery;
use mainstay_sim::{Checks, Policy, Report, Simulation, World, ready};

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
pub(crate) fn success_at_the_end(report: &Report) -> f64 {
    let buckets = (60_000 / report.width.as_millis()) as usize;
    let last = &report.points[report.points.len() - buckets..];
    let (good, bad) = last.iter().fold((0, 0), |sum, it| (sum.0 + it.good, sum.1 + it.bad));
    good as f64 / (good + bad).max(1) as f64
}

/// The policies, by their names.
pub(crate) const POLICIES: [&str; 5] = [
    "our defaults",
    "our budget alone",
    "no retries",
    "3 attempts, no budget",
    "10 attempts, no budget",
];

/// What one of them comes to.
pub(crate) fn report(name: &str) -> Report {
    let world = storm();
    match name {
        "our budget alone" => {
            run(&world, name, "ejection = false\nhealth = false\nbreaker.mode = \"off\"\n")
        }
        "no retries" => run(&world, name, &blind(1)),
        "3 attempts, no budget" => run(&world, name, &blind(3)),
        "10 attempts, no budget" => run(&world, name, &blind(10)),
        _ => Simulation::new(&world, &Policy::defaults(&world).unwrap(), Checks::Often).run(),
    }
}

#[track_caller]
fn check(name: &str, holds: impl Fn(&Report) -> bool) {
    let report = report(name);
    let end = success_at_the_end(&report);
    println!("{name}: {:?}, {:.2}, {end:.3}", report.verdict.recovery, report.amplification());
    assert!(holds(&report), "{name}: {:?}, {end} at the end", report.verdict);
}

#[test]
fn retries_without_a_budget_stay_down_when_the_trigger_has_gone() {
    let stays = |report: &Report| {
        report.verdict.is_metastable && report.verdict.recovery == Recovery::Never
    };
    check("10 attempts, no budget", |it| stays(it) && success_at_the_end(it) < 0.05);
    check("3 attempts, no budget", |it| stays(it) && success_at_the_end(it) < 0.2);
}

#[test]
fn without_retries_it_recovers_so_they_are_what_keeps_it_down() {
    let recovers = |it: &Report| !it.verdict.is_metastable && success_at_the_end(it) > 0.999;
    check("no retries", recovers);
    let soon = |it: &Report| it.time_to_recover().is_some_and(|it| it < Duration::from_secs(90));
    check("our budget alone", |it| recovers(it) && soon(it) && it.amplification() < 1.2);
    check("our defaults", |it| recovers(it) && soon(it) && it.amplification() < 1.2);
}
