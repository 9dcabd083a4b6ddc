//! Load, records, counters and oracle, held against each other to the unit: each was counted by somebody else.
//!
//! | what | by whom |
//! |---|---|
//! | calls | the load; Mainstay's counters; its records |
//! | attempts | Mainstay's counters; of each call, the answer's `mainstay-attempts`; the requests that the lab's servers saw |
//! | executions | the oracle; what the application was told of a failed write: "not sent" and "refused" are promises |

use std::collections::BTreeMap;

use mainstay_lab::Snapshot;
use serde_json::{Value, json};

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
        let (fewest, highest) = broken.copied().unwrap_or_default().requests(attempts.into());
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

/// Of each call in which something broke: its attempts until the head of its answer, and those that continued the body.
struct Records(BTreeMap<String, Broken>);

#[derive(Clone, Copy, Default)]
struct Broken {
    head: Attempts,
    later: Attempts,
}

#[derive(Clone, Copy, Default)]
struct Attempts {
    /// All that are in the record.
    made: u64,
    /// Those that weren't sent.
    not_sent: u64,
    /// Those of which nobody knows whether the server saw them.
    unsure: u64,
}

impl Broken {
    /// How many requests the servers must have seen, and may have, of a call whose head told of so many attempts when it left. What is
    /// in the record is what broke: of those before the head, the last one may be missing.
    fn requests(self, told: u64) -> (u64, u64) {
        let Self { head, later } = self;
        let made = told.max(head.not_sent + head.unsure) + later.made;
        let sent = made - head.not_sent - later.not_sent;
        (sent - head.unsure - later.unsure, sent)
    }
}

impl Records {
    fn read(answer: &Value) -> Self {
        let calls = answer["calls"].as_array().into_iter().flatten();
        let read = |call: &Value| {
            let mut broken = Broken::default();
            for attempt in call["attempts"].as_array().into_iter().flatten() {
                let is_later = attempt["reason"] == "resume";
                let group = if is_later { &mut broken.later } else { &mut broken.head };
                let code = attempt["code"].as_str().unwrap_or_default();
                group.made += 1;
                if attempt["certainty"] == "not-sent" {
                    group.not_sent += 1;
                } else if UNSURE.contains(&code)
                    // Stopped, or cut off: its request may not have been read.
                    || attempt["result"] == "outrun"
                    || attempt["result"] == "unfinished"
                {
                    group.unsure += 1;
                }
            }
            Some((call["id"].as_str()?.to_owned(), broken))
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

/// What was not sent was not seen, before the head or after it.
pub(crate) fn check_requests() -> Result<(), String> {
    let attempt = |code: &str, certainty: &str, reason: &str| json!({ "code": code, "certainty": certainty, "reason": reason });
    let refused = |reason: &str| attempt("connect-refused", "not-sent", reason);
    let reset = |reason: &str| attempt("reset-before-head", "maybe-processed", reason);
    let cut = |reason: &str| attempt("body-reset", "processed", reason);
    // The last column: how many requests there must have been, and may have been.
    let cases = [
        (vec![refused("first"), cut("retry")], 2, (1, 1)),
        (vec![reset("first"), cut("retry")], 2, (1, 2)),
        // The head told of one attempt, and of those that continued its body two weren't sent.
        (vec![cut("first"), refused("resume"), refused("resume"), cut("resume")], 1, (2, 2)),
        (vec![cut("first"), reset("resume"), refused("resume"), cut("resume")], 1, (2, 3)),
        (vec![refused("first"), refused("retry")], 0, (0, 0)),
    ];
    for (attempts, told, wanted) in cases {
        let records = Records::read(&json!({ "calls": [{ "id": "1", "attempts": attempts }] }));
        let found = records.0.get("1").map(|broken| broken.requests(told));
        if found != Some(wanted) {
            return Err(format!("{attempts:?}: {found:?}, not {wanted:?}"));
        }
    }
    Ok(())
}
