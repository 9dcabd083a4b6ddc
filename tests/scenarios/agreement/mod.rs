//! Each scenario once more, in the simulator: what the real proxy decided, and what the library did, must be what the engine decides there.
//!
//! ```text
//!   scenario ──▶ binary or library ──▶ records ─▶ stories ───────────────┐
//!      │                                                                  ├─ the same?
//!      └─ plan ─▶ worlds ──▶ simulator ──▶ events ──▶ records ─▶ stories ─┘
//! ```
//!
//! How often something happens is a matter of chance and of time, of which either has its own; what follows from it isn't. So
//! stories ([`story`]) are compared as sets, for each load:
//!
//! - each story of the real proxy is told by the simulator, in one of many worlds ([`pace`]);
//! - each story that the simulator tells several times in *every* one of its worlds is told by the real proxy.
//!
//! The scenario is translated by [`plan`]. One that isn't compared is in [`LEFT_OUT`], with the reason; else the test fails.

mod pace;
mod plan;
mod simulated;
mod story;

use std::collections::BTreeSet;
use std::path::Path;

use crate::play::Played;
use crate::script::Script;
use pace::Pace;
use plan::Plan;
use story::{Story, Told};

/// Scenarios that aren't compared, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "h2-goaway-graceful",
        "a call of the simulator has a connection to itself, so none is on one that is being drained",
    ),
    (
        "close-idle",
        "its limit of 10 ms ends connections of a busy machine before their first request; the simulator sends that at once",
    ),
    ("healed-reset", NO_BYTES),
    ("healed-stall", NO_BYTES),
    ("healed-skip", NO_BYTES),
    ("cut-changed", NO_BYTES),
    ("healed-events", NO_BYTES),
    ("healed-events-stall", NO_BYTES),
    ("healed-events-anew", NO_BYTES),
    ("cut-events", NO_BYTES),
    ("cut-events-model", NO_BYTES),
];

const NO_BYTES: &str = "the simulator's answers have no bytes, so none can be continued";

/// Compares what was played with what the simulator tells of the same script.
///
/// # Errors
///
/// Where they differ; or the script can't be translated, and isn't known for it.
pub(crate) fn check(name: &str, script: &Script, played: &Played) -> Result<(), String> {
    if LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
        return Ok(());
    }
    let plan = Plan::of(script)
        .map_err(|why| format!("the simulator can't follow, and LEFT_OUT has no reason: {why}"))?;
    compare(&plan, &real(played, &plan)?)
}

/// Each name of [`LEFT_OUT`] is that of a scenario.
///
/// # Errors
///
/// One that isn't.
pub(crate) fn check_left_out(folder: &Path) -> Result<(), String> {
    let is_there = |name: &str| folder.join(format!("{name}.scenario")).is_file();
    match LEFT_OUT.iter().find(|(name, why)| !is_there(name) || why.is_empty()) {
        None => Ok(()),
        Some((name, _)) => Err(format!("LEFT_OUT: {name}")),
    }
}

/// What the real proxy told.
fn real(played: &Played, plan: &Plan) -> Result<Told, String> {
    let mut told = Told::new();
    let mut records = 0;
    for (load, calls) in &played.calls {
        for call in calls {
            let is_of = |id: &String| played.records.iter().find(|it| it.id.to_string() == *id);
            let record = call.id.as_ref().and_then(is_of);
            records += usize::from(record.is_some());
            let story = match record {
                Some(record) => Story::of(record, &plan.named),
                None => Story::plain(call.attempts),
            };
            *told.entry((load.clone(), story)).or_default() += 1;
        }
    }
    if records == played.records.len() {
        return Ok(told);
    }
    Err(format!("{records} of {} records belong to a call of a load", played.records.len()))
}

fn compare(plan: &Plan, real: &Told) -> Result<(), String> {
    let mut untold: BTreeSet<_> = real.keys().cloned().collect();
    let mut frequent: Option<BTreeSet<_>> = None;
    for seed in 1..=SEEDS {
        if seed > SEEDS_OF_ALL && untold.is_empty() {
            break;
        }
        for pace in Pace::ALL {
            let told = simulated::run(plan, pace, seed)?;
            untold.retain(|key| !told.contains_key(key));
            if seed <= SEEDS_OF_ALL {
                let often = told.into_iter().filter(|(_, count)| *count >= OFTEN);
                let often: BTreeSet<_> = often.map(|(key, _)| key).collect();
                frequent = Some(frequent.map_or(often.clone(), |known| &known & &often));
            }
        }
    }
    let frequent = frequent.unwrap_or_default();
    let missing: Vec<_> = frequent.iter().filter(|key| !real.contains_key(key)).collect();
    if untold.is_empty() && missing.is_empty() {
        return Ok(());
    }
    let mut wrong = String::from("what was played and the simulator differ\n");
    for (load, story) in &untold {
        wrong += &format!("only what was played: {load}: {story}\n");
    }
    for (load, story) in missing {
        wrong += &format!("only the simulator: {load}: {story}\n");
    }
    for ((load, story), count) in real {
        wrong += &format!("what was played told {count} times: {load}: {story}\n");
    }
    Err(wrong)
}

/// So many seeds of each pace are tried in any case: enough to see what happens in every world.
const SEEDS_OF_ALL: u64 = 10;

/// So many before a story counts as one that the simulator doesn't tell. A rare one, of two coincidences, needs some tens.
const SEEDS: u64 = 150;

/// Told so often in every single world, a story can't be missed by chance.
const OFTEN: u64 = 3;
