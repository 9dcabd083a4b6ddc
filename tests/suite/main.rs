//! The break suite: scenarios of `scenarios/suite` against the real binary and against the proxies that people run for the same purpose.
//!
//! In the test suite some scenarios are run against Mainstay alone. `cargo xtask breaks` runs all of them against everybody who can be had,
//! and writes the table of `docs/break-suite.md` and a page with timelines.
//!
//! - [`scenario`]: what is run; the words are those of `tests/scenarios/script.rs`
//! - [`proxies`]: against whom, with which config, and what counts as naming a break
//! - [`run`]: one scenario, all proxies side by side
//! - [`figures`], [`equality`], [`census`]: what is measured, what has to agree, what has to be reached
//! - [`report`]: what is said about it

mod census;
mod equality;
mod figures;
mod noise;
mod proxies;
mod report;
mod run;
mod scenario;
#[path = "../scenarios/script.rs"]
#[allow(dead_code, reason = "the scenarios that go by events use the rest")]
mod script;
#[path = "../support/mod.rs"]
mod support;
mod whole;

use libtest_mimic::{Arguments, Failed, Trial};

use proxies::System;
use run::Outcome;
use scenario::Scenario;

fn main() -> std::process::ExitCode {
    if let Some(asked) = whole::Asked::from_environment() {
        return match asked.and_then(|asked| whole::run(&asked)) {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("the break suite: {why}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    let smoke = SMOKE.map(|name| Trial::test(name.replace('-', "_"), move || smoke(name)));
    let sound = Trial::test("every_scenario_can_be_read_and_there_are_enough_of_each_kind", sound);
    let trials = smoke.into_iter().chain([
        sound,
        Trial::test("what_the_census_leaves_to_other_tests_is_there", || {
            census::check_elsewhere().map_err(Failed::from)
        }),
        Trial::test("a_break_is_masked_when_no_more_calls_fail_while_it_lasts", || {
            figures::check_back().map_err(Failed::from)
        }),
        Trial::test("what_was_not_sent_was_not_seen_by_a_server", || {
            equality::check_requests().map_err(Failed::from)
        }),
        Trial::test("what_neither_idled_nor_was_ours_went_to_others", || {
            noise::check_others().map_err(Failed::from)
        }),
    ]);
    let trials = trials.collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Those that the test suite runs: one where servers go, one where bodies break, one of writes, one of HTTP/2.
const SMOKE: [&str; 4] = ["down-one", "body-reset", "writes-executed-then-reset", "h2-goaway"];

/// Its limits of time aside, for the machine may be busy, Mainstay has to keep all of it.
fn smoke(name: &str) -> Result<(), Failed> {
    let mut scenario = named(name)?;
    scenario.limits.retain(|limit| !matches!(limit.value, script::Value::Time(_)));
    let mut outcomes = run::side_by_side(&scenario, &[System::MAINSTAY], None);
    match outcomes.pop() {
        Some((_, Outcome::Ran(figures))) => {
            let misses = figures.misses(&scenario);
            if misses.is_empty() {
                return Ok(());
            }
            Err(format!("{misses:#?}\n{:?}", figures.bad).into())
        }
        Some((_, Outcome::Failed(why) | Outcome::LeftOut(why))) => Err(why.into()),
        None => Err("nothing was run".into()),
    }
}

fn named(name: &str) -> Result<Scenario, String> {
    let found = Scenario::all()?.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("there is no scenario {name}"))
}

fn sound() -> Result<(), Failed> {
    let all = Scenario::all()?;
    if all.len() < FEWEST {
        return Err(format!("{} scenarios", all.len()).into());
    }
    for category in CATEGORIES {
        if !all.iter().any(|scenario| scenario.category == category) {
            return Err(format!("no scenario is of {category}").into());
        }
    }
    for scenario in &all {
        let (from, to) = scenario.window();
        let is_timed = from < scenario.lasts() && to.is_none_or(|to| to < scenario.lasts());
        if !is_timed || scenario.limits.is_empty() {
            let name = &scenario.name;
            return Err(format!(
                "{name}: needs limits, and a load that lasts longer than the break"
            )
            .into());
        }
        if !CATEGORIES.contains(&scenario.category.as_str()) {
            return Err(format!("{}: {} isn't listed", scenario.name, scenario.category).into());
        }
    }
    Ok(())
}

/// What may break, in the order in which it is told.
const CATEGORIES: [&str; 16] = [
    "down",
    "hang",
    "gray",
    "slow",
    "body",
    "keep-alive",
    "outage",
    "overload",
    "rate-limit",
    "writes",
    "streams",
    "dns",
    "tls",
    "http2",
    "grpc",
    "deploy",
];

/// What was promised.
const FEWEST: usize = 40;
