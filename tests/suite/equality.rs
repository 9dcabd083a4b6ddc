//! Load, records, counters and oracle, held against each other to the unit: each was counted by somebody else.
//!
//! | what | by whom |
//! |---|---|
//! | calls | the load; Mainstay's counters; its records |
//! | attempts | Mainstay's counters; of each call, the answer's `mainstay-attempts`; the requests that the lab's servers saw |
//! | executions | the oracle; what the application was told of a failed write: "not sent" and "refused" are promises |

use std::collections::BTreeMap;

use mainstay_lab::Snapshot;
use serde_json::Value;

use crate::figures::{executions, is_good};
use crate::run::Ended;

/// Where they don't agree.
pub(crate) fn problems(
    loads: &[Ended],
    books: &Snapshot,
    before: &Value,
    after: &Value,
    records: &Value,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut same = |what: &str, found: u64, wanted: u64| {
        if found != wanted {
            problems.push(format!("{what}: {found}, not {wanted}"));
        }
    };
    let number =
        |status: &Value, field: &str| status["counts"]["calls"][field].as_u64().unwrap_or_default();
    let counted = |field: &str| number(after, field) - number(before, field);
    let all = || loads.iter().flat_map(|load| &load.calls);
    // A call whose application got no connection never reached the proxy.
    let reached = |call: &&mainstay_lab::load::CallResult| {
        call.ended != mainstay_lab::load::Ended::NotConnected
    };
    let calls = all().filter(reached).count() as u64;
    same("calls that Mainstay began", counted("started"), calls);
    same("calls that it recorded", counted("records"), calls);
    same("calls that ended", counted("delivered") + counted("failed"), calls);

    let kept = Records::read(records);
    same("records of calls in which something broke", kept.0.len() as u64, number(after, "broken"));
    let told: u64 = all().filter_map(|call| call.attempts.map(u64::from)).sum();
    let mut differ = Vec::new();
    let (mut least, mut most) = (0, 0);
    for call in all() {
        let Some(attempts) = call.attempts else { continue };
        let received = received(books, &call.id);
        let broken = call.call_id.as_ref().and_then(|id| kept.0.get(id));
        let (not_sent, unsure, later) = broken.copied().unwrap_or_default();
        // The head said how many there were when it left; what continued the body came later.
        let made = u64::from(attempts).max(not_sent + unsure) + later;
        let (fewest, highest) = (made - not_sent - unsure, made - not_sent);
        (least, most) = (least + fewest, most + highest);
        if !(fewest..=highest).contains(&received) {
            let record = call.call_id.as_ref().and_then(|id| found(records, id));
            differ.push(format!(
                "{} ({received}, not {fewest} to {highest}): {}",
                call.id,
                record.map(Value::to_string).unwrap_or_default()
            ));
        }
    }
    if !differ.is_empty() {
        let some = &differ[..differ.len().min(3)];
        problems.push(format!("{} calls whose requests differ: {some:?}", differ.len()));
    }
    if told > counted("attempts") {
        problems.push(format!("answers tell of {told} attempts of {}", counted("attempts")));
    }
    broken_promises(loads, books, &mut problems);
    problems
}

fn found<'a>(records: &'a Value, id: &str) -> Option<&'a Value> {
    records["calls"].as_array()?.iter().find(|call| call["id"] == id)
}

/// Of each call in which something broke: attempts that weren't sent, those of which nobody knows whether the server saw them, and those
/// that came after the head.
struct Records(BTreeMap<String, (u64, u64, u64)>);

impl Records {
    fn read(answer: &Value) -> Self {
        let calls = answer["calls"].as_array().into_iter().flatten();
        let read = |call: &Value| {
            let attempts = call["attempts"].as_array().map_or(&[][..], Vec::as_slice);
            let count = |holds: &dyn Fn(&Value) -> bool| {
                attempts.iter().filter(|attempt| holds(attempt)).count() as u64
            };
            let not_sent = count(&|attempt| attempt["certainty"] == "not-sent");
            let unsure = count(&|attempt| {
                let code = attempt["code"].as_str().unwrap_or_default();
                // Stopped, or cut off: its request may not have been read.
                attempt["certainty"] != "not-sent" && UNSURE.contains(&code)
                    || attempt["result"] == "outrun"
                    || attempt["result"] == "unfinished"
            });
            let later = count(&|attempt| attempt["reason"] == "resume");
            Some((call["id"].as_str()?.to_owned(), (not_sent, unsure, later)))
        };
        Self(calls.filter_map(read).collect())
    }
}

/// Breaks of a connection that may come before the server has read the request.
const UNSURE: [&str; 9] = [
    "closed-while-idle",
    "write-failed",
    "reset-before-head",
    "response-timeout",
    "stream-error",
    "stream-refused",
    "go-away",
    "deadline-exceeded",
    "client-gone",
];

fn received(books: &Snapshot, id: &str) -> u64 {
    let methods = books.requests.get(id);
    methods.map_or(0, |methods| methods.values().map(|counts| counts.received).sum())
}

/// What the application was told of a call, and wasn't so.
fn broken_promises(loads: &[Ended], books: &Snapshot, problems: &mut Vec<String>) {
    for load in loads {
        for call in &load.calls {
            let times = executions(books, call);
            if is_good(call) && times == 0 {
                problems.push(format!("{} was answered and never done", call.id));
            }
            if let Some((code, certainty)) = &call.problem
                && ["not-sent", "refused"].contains(&certainty.as_str())
                && times > 0
            {
                problems.push(format!("{} was done, and {code} says {certainty}", call.id));
            }
        }
    }
    problems.truncate(20);
}
