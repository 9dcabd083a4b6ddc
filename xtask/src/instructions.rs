//! `cargo xtask instructions`: how many instructions core's decisions take for one call, counted by callgrind, and whether they are more than they may be.
//!
//! Time is noise on a shared machine; the instructions of one binary are the same each time. What is counted is the difference between a long and
//! a short run, so that the start isn't in it. Another compiler makes other code: the bounds leave it some room. They are lowered when
//! the code gets better, and raised by a commit that says why.

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::breaker::{Breaker, BreakerSettings, Outcome};
use mainstay_core::upstream::{EndpointSettings, Purpose, Report, ScopeId, UpstreamSettings, Want};
use mainstay_core::{
    Action, Call, CallFacts, CallPolicy, Chance, Checked, Ctx, Timestamp, Upstream,
};

use crate::setup;
use crate::step::{self, Step};

/// Something that each call does.
struct Counted {
    name: &'static str,
    /// Does it so often.
    run: fn(u64),
    /// Instructions that it may take.
    most: u64,
}

const ALL: [Counted; 4] = [
    Counted { name: "breaker", run: breaker, most: 110 },
    Counted { name: "pick-of-3", run: |calls| picks(3, calls), most: 720 },
    Counted { name: "pick-of-1000", run: |calls| picks(1000, calls), most: 750 },
    Counted { name: "call", run: whole_calls, most: 1950 },
];

/// Counts all of them.
pub(crate) fn run() -> Result<(), String> {
    setup::packages(&["valgrind"])?;
    step::run(&[Step::cargo("build --release --package xtask")])?;
    let mut over = Vec::new();
    println!("\n| what | instructions a call | may be |\n|---|---|---|");
    for counted in &ALL {
        let (short, long) = (count(counted.name, SHORT)?, count(counted.name, LONG)?);
        let each = long.saturating_sub(short) / (LONG - SHORT);
        println!("| {} | {each} | {} |", counted.name, counted.most);
        if each > counted.most {
            over.push(counted.name);
        }
    }
    if over.is_empty() { Ok(()) } else { Err(format!("more than they may be: {over:?}")) }
}

/// What callgrind runs: one of them, so often.
pub(crate) fn counted(words: &[&str]) -> Result<(), String> {
    let [name, calls] = words else { return Err("counted takes a name and a number".into()) };
    let one = ALL.iter().find(|one| one.name == *name).ok_or(format!("no `{name}`"))?;
    (one.run)(calls.parse().map_err(|_| format!("`{calls}` isn't a number"))?);
    Ok(())
}

/// All instructions of a process that does it so often.
fn count(name: &str, calls: u64) -> Result<u64, String> {
    let file = std::env::temp_dir().join(format!("mainstay-callgrind-{}", std::process::id()));
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .args(["target/release/xtask", "counted", name, &calls.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !ran.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&ran.stderr)));
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).ok_or("callgrind gives no totals".into())
}

/// A call passes a closed breaker and goes well.
fn breaker(calls: u64) {
    let (settings, mut chance) = (BreakerSettings::default(), Chance::from_seed(1));
    let breaker = Breaker::new();
    for call in 0..calls {
        let now = at(call);
        if let Ok((admission, _)) = breaker.admit(black_box(&settings), now) {
            let outcome = Outcome::Success(Duration::from_millis(3));
            black_box(breaker.settle(&settings, admission, outcome, now, &mut chance));
        }
    }
}

/// Budget, pick, report: what is asked of an upstream for a call that goes well.
fn picks(endpoints: u16, calls: u64) {
    let (upstream, mut chance) = upstream(endpoints);
    for call in 0..calls {
        let now = at(call);
        upstream.budget().on_call(now);
        let want =
            Want { tried: &[], scope: ScopeId(0), purpose: Purpose::First, hash: Some(call) };
        if let Ok(mut pick) = upstream.pick(want, now, &mut chance) {
            let answered = Report::Answered(Duration::from_micros(800));
            black_box(pick.permit.report(answered, now, &mut chance));
        }
        upstream.budget().on_first_try_success();
    }
}

/// The whole machine: a GET that is sent, answered and delivered.
fn whole_calls(calls: u64) {
    let (upstream, mut chance) = upstream(3);
    let policy = CallPolicy::default();
    let facts = CallFacts::of("GET", false, &policy);
    let Ok(policy) = Checked::new(policy) else { return };
    let policy = Arc::new(policy);
    for number in 0..calls {
        let now = at(number);
        let mut call = Call::new(Arc::clone(&policy), facts, now);
        let mut ctx = Ctx { now, chance: &mut chance, upstream: &upstream };
        call.on_start(&mut ctx);
        while let Some(action) = call.next_action() {
            match action {
                Action::Attempt { attempt, .. } => call.on_head(attempt, 200, None, &mut ctx),
                Action::Deliver { .. } => call.on_body_end(None, &mut ctx),
                other => drop(black_box(other)),
            }
        }
        while let Some(event) = call.next_event() {
            black_box(event);
        }
        black_box(call.next_deadline());
    }
}

fn upstream(endpoints: u16) -> (Arc<Upstream>, Chance) {
    let endpoint = |n| EndpointSettings { name: format!("endpoint {n}"), tier: 0, weight: 1 };
    let settings = UpstreamSettings {
        endpoints: (0..endpoints).map(endpoint).collect(),
        ..UpstreamSettings::default()
    };
    let mut chance = Chance::from_seed(1);
    let settings = Checked::new(settings).unwrap_or_else(|_| Checked::default());
    (Upstream::new(settings, at(0), &mut chance), chance)
}

/// As at 100,000 calls a second.
fn at(call: u64) -> Timestamp {
    Timestamp::from_nanos(1_000_000 + call * 10_000)
}

const SHORT: u64 = 1_000;
const LONG: u64 = 21_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_goes_well() {
        for one in &ALL {
            (one.run)(100);
        }
        assert!(counted(&["nothing", "1"]).is_err());
        assert!(counted(&["call", "many"]).is_err());
    }
}
