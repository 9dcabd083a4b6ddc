//! Random worlds under random policies: whatever breaks, the rules hold, and once nothing breaks any more all is well.
//!
//! Each world comes from a number, and each failure names its number and the command that repeats it. A number that
//! once failed stays in `seeds.txt`. The census at the end fails when there is an event or a kind of break that no world
//! reached: a sweep that leaves something out proves nothing about it.
#![expect(clippy::unwrap_used, reason = "a test may unwrap anywhere")]

mod generate;

use mainstay_core::BreakKind;
use mainstay_record::Recorder;
use mainstay_sim::outcome::Census;
use mainstay_sim::{Checks, Policy, Simulation, World};

use generate::Generated;

/// Runs the world of a number. Gives what is wrong, or its census.
fn try_seed(seed: u64) -> Result<Census, String> {
    let Generated { world: text, policy } = generate::world(seed);
    let wrong = |what: String| {
        format!(
            "{what}\n--- world {seed}\n{text}\n--- policy\n{policy}\n--- again:\n\
             MAINSTAY_SIM_SEED={seed} cargo nextest run -p mainstay-sim -E 'test(the_seed_that_was_asked_for)'"
        )
    };
    let world = World::parse(&text, None).map_err(|error| wrong(error.to_string()))?;
    let mut tried =
        Policy::parse("sweep", &policy, &world).map_err(|error| wrong(error.to_string()))?;
    generate::load_control(seed, &mut tried);
    let report = Simulation::new(&world, &tried, Checks::EachStep).run();
    if report.violations.0 > 0 {
        return Err(wrong(format!("{:#?}", report.violations)));
    }
    let from = report.points.len() * 4 / 5;
    let (good, bad) =
        report.points[from..].iter().fold((0, 0), |sum, it| (sum.0 + it.good, sum.1 + it.bad));
    if report.verdict.is_metastable || bad * 100 > good + bad {
        return Err(wrong(format!("it didn't recover: {good} good, {bad} bad at the end")));
    }
    Ok(report.census)
}

fn check(seeds: impl Iterator<Item = u64>) -> Census {
    let mut all = Census::default();
    for seed in seeds {
        match try_seed(seed) {
            Ok(census) => all.add(&census),
            Err(wrong) => panic!("{wrong}"),
        }
    }
    all
}

#[test]
fn the_rules_hold_in_random_worlds_and_nothing_is_left_out() {
    let census = check(0..WORLDS);
    let unreached =
        |known: Vec<String>, seen: &std::collections::BTreeMap<&str, u64>, no: &[&str]| {
            let expected = |code: &String| !no.contains(&code.as_str());
            let missing: Vec<_> = known
                .iter()
                .filter(|code| expected(code) && !seen.contains_key(code.as_str()))
                .collect();
            assert!(missing.is_empty(), "never reached: {missing:?}");
            let surprising: Vec<_> = no.iter().filter(|code| seen.contains_key(**code)).collect();
            assert!(surprising.is_empty(), "reached all the same: {surprising:?}");
        };
    let recorder = Recorder::new();
    let never = recorder.census().events.never;
    let events: Vec<String> = never.iter().map(ToString::to_string).collect();
    assert!(events.len() > 15, "{events:?}");
    unreached(events, &census.events, EVENTS_ELSEWHERE);
    let breaks = BreakKind::ALL.iter().map(|kind| kind.code().to_owned()).collect();
    unreached(breaks, &census.breaks, BREAKS_ELSEWHERE);
}

#[test]
fn what_once_failed_fails_no_more() {
    let seeds = include_str!("../seeds.txt").lines();
    let numbers = seeds.filter_map(|line| line.split('#').next()).map(str::trim);
    check(numbers.filter(|number| !number.is_empty()).map(|number| number.parse().unwrap()));
}

#[test]
fn the_seed_that_was_asked_for() {
    if let Ok(seed) = std::env::var("MAINSTAY_SIM_SEED") {
        check(std::iter::once(seed.parse().unwrap()));
    }
}

/// A minute's work at most.
const WORLDS: u64 = 120;

/// What a simulated world has no cause for: it has no names, no certificates with a date, no request bodies, no tunnels, and no
/// bytes of answers that could be kept for later or gone on with.
const EVENTS_ELSEWHERE: &[&str] = &[
    "call-degraded",
    "body-resumed",
    "answer-healed",
    "answer-cut",
    "upload-resumed",
    "upload-not-resumed",
    "tunnel-ended",
    "body-unrepeatable",
    "addresses-changed",
    "addresses-kept",
    "certificate-expiring",
];

/// The same of breaks: names, routes and bytes. `budget-empty` is a reason to stop, and the
/// call's own break is told instead.
const BREAKS_ELSEWHERE: &[&str] = &[
    "name-not-found",
    "no-address",
    "resolver-timeout",
    "resolver-failure",
    "unreachable",
    "certificate-invalid",
    "write-failed",
    "head-too-large",
    "stream-error",
    "upgrade-failed",
    "budget-empty",
];
