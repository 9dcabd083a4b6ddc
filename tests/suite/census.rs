//! Whether the suite reached everything that the engine can decide: each event, each kind of break, each reason and cause.
//!
//! The closed sets are the engine's, as Mainstay's own counters know them (`census` in `/status`). What no scenario reaches is listed here with
//! the test that does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mainstay_record::Census;

/// What was reached by all scenarios together.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// By the name of the set, then by code.
    seen: BTreeMap<&'static str, BTreeSet<String>>,
    known: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Reached {
    pub(crate) fn add(&mut self, census: &Census) {
        for (name, part) in census.parts() {
            let owned = |code: &std::borrow::Cow<'static, str>| code.clone().into_owned();
            self.seen.entry(name).or_default().extend(part.seen.iter().map(owned));
            let known = self.known.entry(name).or_default();
            known.extend(part.seen.iter().chain(&part.never).map(owned));
        }
        // What a call does isn't counted by itself: each action shows in an event that follows from it and from nothing else.
        let events = self.seen.get("events").cloned().unwrap_or_default();
        for (action, event) in ACTIONS {
            self.known.entry("actions").or_default().insert((*action).to_owned());
            if events.contains(*event) {
                self.seen.entry("actions").or_default().insert((*action).to_owned());
            }
        }
    }

    /// What wasn't reached and isn't listed, and what is listed and isn't known.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (set, known) in &self.known {
            let seen = self.seen.get(set).cloned().unwrap_or_default();
            for code in known.difference(&seen) {
                if !ELSEWHERE.iter().any(|(of, other, ..)| of == set && other == code) {
                    wrong.push(format!("no scenario reaches {code} of {set}"));
                }
            }
        }
        for (set, code, _) in ELSEWHERE {
            if !self.known.get(set).is_some_and(|known| known.contains(*code)) {
                wrong.push(format!("{code} is none of {set}"));
            }
        }
        wrong
    }

    /// How many of how many.
    pub(crate) fn summary(&self) -> String {
        let counts = self.known.iter().map(|(set, known)| {
            let seen = self.seen.get(set).map_or(0, BTreeSet::len);
            format!("{seen} of {} {set}", known.len())
        });
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// Each action of a call, and the event by which it shows.
const ACTIONS: &[(&str, &str)] = &[
    ("attempt", "attempt-started"),
    ("line", "attempt-held"),
    ("cancel", "attempt-outrun"),
    ("keep", "retry-refused"),
    ("deliver", "call-delivered"),
    ("fail", "call-failed"),
    ("continue", "body-resumed"),
    ("cut", "answer-cut"),
];

/// What no scenario reaches: the set, the code, and the test that does; or why none can.
const ELSEWHERE: &[(&str, &str, Why)] = &[
    (
        "breaks",
        "budget-empty",
        Why::Never("a reason to stop: the call tells the break of its last attempt"),
    ),
    ("breaks", "certificate-invalid", Why::By("crates/client/tests/connect_tls.rs")),
    ("breaks", "head-too-large", Why::By("crates/client/tests/pool_http1.rs")),
    ("breaks", "stream-error", Why::By("crates/client/tests/pool_http2.rs")),
    // A connection that breaks under an upload is mostly seen to have broken before the next write: which, depends on the moment.
    ("breaks", "write-failed", Why::By("crates/client/tests/library.rs")),
    ("breaks", "upgrade-failed", Why::Never("an answer that isn't 101 is passed on as what it is")),
    ("events", "tunnel-ended", Why::By("tests/peers/websocket.rs")),
    ("events", "upload-resumed", Why::By("tests/clients/uploads.rs")),
    ("events", "upload-not-resumed", Why::By("crates/core/tests/calls/uploads.rs")),
    ("opens", "forced", Why::By("tests/dashboard/orders.rs")),
    ("stops", "pushed-back", Why::By("tests/peers/grpc.rs")),
    ("stops", "reply-started", Why::By("crates/core/tests/calls/bodies.rs")),
];

/// Why a code is in that list.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// A test of this file reaches it: it needs a peer or a person that no scenario has.
    By(&'static str),
    /// Nothing can.
    Never(&'static str),
}

/// Each test that is named there is there, and each reason is given.
pub(crate) fn check_elsewhere() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let is_sound = |why: &Why| match why {
        Why::By(file) => root.join(file).is_file(),
        Why::Never(reason) => !reason.is_empty(),
    };
    match ELSEWHERE.iter().find(|(_, _, why)| !is_sound(why)) {
        None => Ok(()),
        Some(wrong) => Err(format!("{wrong:?}")),
    }
}
