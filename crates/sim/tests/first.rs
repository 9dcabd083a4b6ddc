//! The smallest worlds: what must come of them can be said beforehand.
#![expect(clippy::unwrap_used, reason = "a test may unwrap anywhere")]

use std::time::Duration;

use mainstay_sim::{Checks, Policy, Report, Simulation, World};

fn run_with(world: &str, policy: &str) -> Report {
    let world = World::parse(world, None).unwrap();
    let text = format!("[upstream.world]\nendpoints = [\"https://world.example\"]\n{policy}");
    let policy = Policy::parse("test", &text, &world).unwrap();
    let report = Simulation::new(&world, &policy, Checks::EachStep).run();
    assert_eq!(report.violations.0, 0, "{:#?}", report.violations);
    report
}

fn world(load: &str, rest: &str) -> String {
    format!(
        "[world]\nseed = 1\nduration = \"30s\"\n[load]\narrivals = \"poisson\"\nrate = 50\n{load}\n{rest}"
    )
}

#[test]
fn a_healthy_world_answers_every_call_at_its_first_attempt() {
    let report = run_with(&world("", "[[endpoint]]\nname = \"a\"\nservice = \"20ms\""), "");
    assert_eq!((report.good, report.attempts), (report.calls, report.calls));
    assert!((1_350..1_650).contains(&report.calls), "{}", report.calls);
    // One way takes half a millisecond; a fresh connection's two round trips show in the first calls only.
    let p50 = report.latency.p50.as_micros();
    assert!((20_600..21_500).contains(&p50), "{p50}");
}

#[test]
fn an_endpoint_that_dies_is_masked_by_the_other() {
    let faults = "[[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"\n[[fault]]\nat = \"10s\"\nfor = \"10s\"\nendpoint = \"a\"\nwhat = \"refuse\"";
    let report = run_with(&world("", faults), "");
    assert!(report.success_percent() > 99.9, "{report:?}");
    assert!(report.amplification() < 1.05, "{}", report.amplification());
    assert!(report.census.breaks.contains_key("connect-refused"));
    assert!(report.census.events.contains_key("endpoint-unhealthy"));
}

#[test]
fn a_total_outage_is_not_amplified_and_is_recovered_from() {
    let faults = "[[endpoint]]\nname = \"a\"\n[[fault]]\nat = \"10s\"\nfor = \"8s\"\nendpoint = \"*\"\nwhat = \"hang\"";
    let report = run_with(&world("", faults), "attempt_timeout = \"1s\"");
    assert!(report.amplification() < 1.2, "{}", report.amplification());
    assert!(!report.verdict.is_metastable);
    assert!(report.time_to_recover().is_some(), "{:?}", report.verdict);
}

#[test]
fn a_write_is_never_done_twice_and_a_read_may_be() {
    let faults = "[[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"\n[[fault]]\nat = \"1s\"\nendpoint = \"*\"\nwhat = \"reset-after-execute ratio=0.1\"";
    let report = run_with(&world("writes = 0.5", faults), "");
    assert_eq!(report.duplicates, 0);
    assert!(report.executed > report.calls, "reads were executed again");
    let keyed = run_with(&world("writes = 0.5\nkeyed = 1", faults), "");
    assert!(keyed.duplicates > 0, "a write with a key may be");
}

#[test]
fn clients_that_wait_call_no_faster_than_they_are_answered() {
    let world = "[world]\nduration = \"30s\"\n[load]\narrivals = \"closed\"\nclients = 10\nthink = \"90ms\"\n[[endpoint]]\nname = \"a\"\nservice = \"9ms\"";
    let report = run_with(world, "");
    // Ten clients, a call each 100 ms.
    assert!((2_900..3_050).contains(&report.calls), "{}", report.calls);
}

#[test]
fn an_application_without_patience_ends_its_calls_itself() {
    let report = run_with(
        &world("patience = \"10ms\"", "[[endpoint]]\nname = \"a\"\nservice = \"20ms\""),
        "",
    );
    assert_eq!(report.good, 0);
    assert_eq!(report.census.breaks.get("client-gone"), Some(&report.calls));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let text = world(
        "writes = 0.2\nproxies = 3",
        "[[endpoint]]\nname = \"a\"\nservice = \"median=10ms p99=80ms\"\nworkers = 4\n[[endpoint]]\nname = \"b\"\nservice = \"exponential=10ms\"\n[[fault]]\nat = \"5s\"\nfor = \"5s\"\nendpoint = \"a\"\nwhat = \"flap up=1s down=1s refuse\"\n[[fault]]\nat = \"12s\"\nfor = \"5s\"\nendpoint = \"b\"\nwhat = \"status code=500 ratio=0.3\"",
    );
    let told = |text: &str| serde_json::to_string(&run_with(text, "")).unwrap();
    let first = told(&text);
    assert_eq!(first, told(&text));
    assert_ne!(first, told(&text.replace("seed = 1", "seed = 2")));
}

#[test]
fn a_fault_that_is_felt_says_for_how_long() {
    let faults = "[[endpoint]]\nname = \"a\"\n[[fault]]\nat = \"10s\"\nfor = \"5s\"\nendpoint = \"*\"\nwhat = \"refuse\"";
    let report = run_with(&world("", faults), "");
    assert_eq!(report.time_to_mask(), None, "{:?}", report.verdict);
    assert!(report.time_to_recover().unwrap() < Duration::from_secs(8), "{:?}", report.verdict);
}
