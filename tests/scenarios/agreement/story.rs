//! A call's story: what was decided, in the order in which it was, without what chance and time have a hand in.
//!
//! ```text
//! b reset-before-head maybe-processed, failover after backoff; sound-1 good => delivered good, saved by failover
//! ```
//!
//! Left out are lengths of time, connections, which good status a server prefers, and which of the endpoints that are well was asked:
//! those are told apart in the order in which the call met them, so that "another" and "the same again" can still be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mainstay_record::{AttemptRecord, CallRecord};

/// How often each story was told, of each load.
pub(crate) type Told = BTreeMap<(String, Story), u64>;

/// A call's story.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Story(String);

impl Story {
    /// Nothing broke, so that there is no record. With a hedge there are two attempts.
    pub(crate) fn plain(attempts: u32) -> Self {
        Self(format!("nothing broke, attempts: {attempts}"))
    }

    /// The story of a record. `named`: the endpoints that something is the matter with.
    pub(crate) fn of(record: &CallRecord, named: &BTreeSet<String>) -> Self {
        let mut text = String::new();
        let mut met: Vec<&str> = Vec::new();
        for attempt in &record.attempts {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&place(&attempt.endpoint, named, &mut met));
            add_attempt(&mut text, attempt);
        }
        add_end(&mut text, record);
        Self(text)
    }
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn place<'r>(endpoint: &'r str, named: &BTreeSet<String>, met: &mut Vec<&'r str>) -> String {
    if named.contains(endpoint) {
        return endpoint.to_owned();
    }
    let known = met.iter().position(|other| *other == endpoint);
    let number = known.unwrap_or_else(|| {
        met.push(endpoint);
        met.len() - 1
    });
    format!("sound-{}", number + 1)
}

fn add_attempt(text: &mut String, attempt: &AttemptRecord) {
    for part in [&attempt.code, &attempt.certainty].into_iter().flatten() {
        text.extend([" ", part]);
    }
    match attempt.status {
        Some(status) => add_status(text, status),
        None if attempt.code.is_none() => text.extend([" ", &attempt.result]),
        None => {}
    }
    if let Some(decision) = &attempt.decision {
        text.extend([", ", decision]);
    }
    if let Some(delayed_by) = &attempt.delayed_by {
        text.extend([" after ", delayed_by]);
    }
}

fn add_end(text: &mut String, record: &CallRecord) {
    text.extend([" => ", &record.outcome]);
    if let Some(status) = record.status {
        add_status(text, status);
    }
    for part in [&record.code, &record.certainty].into_iter().flatten() {
        text.extend([" ", part]);
    }
    // The reason to stop stands at the last attempt, if there was one.
    let stopped = record.stopped.as_ref().filter(|_| record.attempts.is_empty());
    let rest = [
        ("saved by", record.saved.as_ref()),
        ("stopped by", stopped),
        ("its body", record.body_broke.as_ref()),
        ("degraded by", record.degraded.as_ref()),
    ];
    for (words, part) in rest {
        if let Some(part) = part {
            text.extend([", ", words, " ", part]);
        }
    }
    for hold in &record.holds {
        text.extend([", held by ", &hold.by]);
    }
}

fn add_status(text: &mut String, status: u16) {
    match status {
        200..300 => text.push_str(" good"),
        _ => _ = write!(text, " {status}"),
    }
}
