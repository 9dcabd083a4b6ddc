//! What the simulator tells of a plan: its events, made into records by the very code that makes the real proxy's.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use mainstay_core::{Event, Timestamp};
use mainstay_record::{CallId, CallTag, CallTrace, Recorder, RecordsOptions};
use mainstay_sim::{Checks, Happened, Simulation};

use super::pace::Pace;
use super::plan::Plan;
use super::story::{Story, Told};
use crate::stage::text;

/// Runs a plan at a pace.
///
/// # Errors
///
/// A rule of the engine was broken, or the run left calls out.
pub(crate) fn run(plan: &Plan, pace: Pace, seed: u64) -> Result<Told, String> {
    let (world, calls) = pace.world(plan, seed);
    let (report, journal) =
        Simulation::new(&world, &plan.policy, Checks::Often).run_with_journal(ENTRIES);
    if report.violations.0 > 0 {
        return Err(format!("{pace:?}, seed {seed}: {:#?}", report.violations));
    }
    if journal.missed() > 0 || report.calls != calls.len() as u64 {
        return Err(format!("{pace:?}, seed {seed}: {} of {} calls", report.calls, calls.len()));
    }
    let recorder = Recorder::new();
    let room = RecordsOptions { memory: calls.len(), ..RecordsOptions::default() };
    recorder.keep_records(&room).map_err(text)?;
    let names: Vec<&str> = world.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let upstream = recorder.upstream("api", &names);
    // By number, which is the order of the calls.
    let mut traces: BTreeMap<u64, (CallTrace, u32)> = BTreeMap::new();
    for entry in journal.entries() {
        if let (Some(call), Happened::Told(event)) = (entry.call, entry.what) {
            let (trace, attempts) = traces.entry(call).or_default();
            *attempts += u32::from(matches!(event, Event::AttemptStarted { .. }));
            upstream.on_call_event(trace, entry.at, event);
        }
    }
    let mut told = Told::new();
    for ((trace, attempts), planned) in traces.into_values().zip(calls) {
        let method = if planned.call.is_write { Method::POST } else { Method::GET };
        let id = CallId::next(0);
        let tag = CallTag { id, route: "api".into(), method, path: "/".to_owned(), request: None };
        upstream.on_call_over(&tag, trace);
        let story = match recorder.find(id) {
            Some(record) => Story::of(&record, &plan.named),
            None => Story::plain(attempts),
        };
        *told.entry((planned.load, story)).or_default() += 1;
    }
    Ok(told)
}

/// When so many attempts have broken in this way, with nothing else to do.
///
/// # Errors
///
/// They never have.
pub(crate) fn reaches(plan: &Plan, code: &str, count: usize) -> Result<Duration, String> {
    let (world, _) = Pace::Quiet.world(plan, 1);
    let (_, journal) =
        Simulation::new(&world, &plan.policy, Checks::Often).run_with_journal(ENTRIES);
    let mut breaks = journal.entries().iter().filter(|entry| match entry.what {
        Happened::Told(Event::AttemptFailed { what, .. }) => what.kind.code() == code,
        _ => false,
    });
    let last = breaks.nth(count.saturating_sub(1));
    let last = last.ok_or_else(|| format!("{code} never happens {count} times"))?;
    Ok(last.at.since(Timestamp::ZERO))
}

/// More than a scenario's calls tell.
const ENTRIES: usize = 1_000_000;
