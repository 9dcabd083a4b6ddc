//! What budgets do: independent failures, three attempts, no latency, steady state.
//!
//! The figures are those of our own earlier simulation, which knew no engine: tokens and windows in a few lines. Here
//! the engine itself has to come to the same: the bucket of AWS's retry guidance 2.1 (500 tokens, 14 a retry), a
//! share of 20 % and nothing else, and no budget at all. Rates of 100 calls a second.
//!
//! Near enough: load within 0.02, success within 1.2 percentage points: 30,000 calls a cell, and the engine's window
//! slides in tenths.

use mainstay_sim::{Report, World};

use crate::run;

fn world(failing_percent: u32) -> World {
    let text = format!(
        "[world]\nname = \"independent failures\"\nduration = \"300s\"\n[load]\narrivals = \"poisson\"\nrate = 100\n\
         [[endpoint]]\nname = \"a\"\nservice = \"0ms\"\ntls = false\n[network]\nlatency = \"0ms\"\n\
         [[fault]]\nat = \"0s\"\nendpoint = \"a\"\nwhat = \"status code=500 ratio={}\"\n",
        f64::from(failing_percent) / 100.0
    );
    World::parse(&text, None).unwrap()
}

/// A policy with this budget and nothing else that decides.
fn policy(budget: &str) -> String {
    format!(
        "ejection = false\nhealth = false\nbreaker.mode = \"off\"\nretry.max_attempts = 3\n\
         retry.backoff = {{ base = \"1ms\", cap = \"1ms\" }}\nbudget = {{ {budget} }}\n"
    )
}

/// So many calls in a hundred fail.
pub(crate) fn run_with(failing_percent: u32, budget: &str) -> Report {
    run(&world(failing_percent), "budget", &policy(budget))
}

/// Share of failures in percent, then load and success.
#[track_caller]
fn check(budget: &str, expected: &[(u32, f64, f64)]) {
    for (failing, load, success) in expected {
        let report = run_with(*failing, budget);
        let (found_load, found_success) = (report.amplification(), report.success_percent());
        println!("{budget}: {failing} %: {found_load:.3} / {found_success:.2}");
        assert!((found_load - load).abs() <= 0.02, "{failing} %: load {found_load}, not {load}");
        assert!(
            (found_success - success).abs() <= 1.2,
            "{failing} %: success {found_success}, not {success}"
        );
    }
}

#[test]
fn without_a_budget_an_outage_is_amplified_threefold() {
    check(
        NONE,
        &[
            (5, 1.05, 99.99),
            (10, 1.11, 99.90),
            (20, 1.24, 99.2),
            (30, 1.39, 97.3),
            (50, 1.75, 87.5),
            (100, 3.00, 0.0),
        ],
    );
}

#[test]
fn the_bucket_heals_up_to_a_fifth_and_amplifies_nothing_in_an_outage() {
    check(
        BUCKET,
        &[
            (5, 1.05, 99.99),
            (10, 1.11, 99.90),
            (20, 1.24, 99.2),
            (30, 1.17, 81.7),
            (50, 1.07, 53.7),
            (100, 1.00, 0.0),
        ],
    );
}

#[test]
fn a_share_alone_heals_less_and_amplifies_by_itself() {
    check(
        SHARE,
        &[
            (5, 1.05, 99.99),
            (10, 1.11, 99.90),
            (20, 1.20, 95.7),
            (30, 1.20, 84.0),
            (50, 1.20, 60.0),
            (100, 1.20, 0.0),
        ],
    );
}

/// Nothing is refused.
pub(crate) const NONE: &str = "capacity = 1000000, initial = 1000000, cost = 1, throttled_cost = 1, ceiling = 1.0, floor = 1000, window = \"1s\"";

/// AWS's retry guidance 2.1.
pub(crate) const BUCKET: &str =
    "capacity = 500, initial = 500, cost = 14, ceiling = 1.0, floor = 1000";

/// A fifth of the calls.
pub(crate) const SHARE: &str =
    "capacity = 1000000, initial = 1000000, cost = 1, throttled_cost = 1, ceiling = 0.2, floor = 0";
