//! Results that others published, found again: a simulator that can't do that is believed by nobody.
//!
//! Each test names its source, the parameters, and how near is near enough. The manual shows the same tables
//! (`docs/simulated.md`).
#![expect(clippy::unwrap_used, reason = "a test may unwrap anywhere")]

mod backoff;
mod budget;
mod hedging;
mod manual;
mod metastable;
mod plot;

use mainstay_sim::{Checks, Policy, Report, Simulation, World};

/// Runs a policy, given as what stands below `[upstream.world]`, in a world.
fn run(world: &World, name: &str, policy: &str) -> Report {
    let text = format!("[upstream.world]\nendpoints = [\"https://world.example\"]\n{policy}");
    let policy = Policy::parse(name, &text, world).unwrap();
    let report = Simulation::new(world, &policy, Checks::Often).run();
    assert_eq!(report.violations.0, 0, "{:#?}", report.violations);
    report
}
