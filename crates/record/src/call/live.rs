//! Broken calls as they end, for whoever watches: a sample of them, and how many aren't in it.
//!
//! In an outage thousands break each second, and nobody reads more than some tens. So there is room for so many in each
//! quarter of a second, and some more for what is seen for the first time in it; the rest is counted, nothing else.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use mainstay_core::Event;
use mainstay_core::event::Held;
use parking_lot::Mutex;
use serde::Serialize;

use super::kept::KeptCall;
use super::record::CallRecord;
use crate::CallId;

/// A call that is over and in which something broke, in short. The codes are those of [`CallRecord`].
#[derive(Clone, Debug, Serialize)]
pub struct CallRow {
    /// Its id.
    pub id: CallId,
    /// When it was over, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// When it began.
    pub started_unix_ms: u64,
    /// The name of its upstream.
    pub upstream: Arc<str>,
    /// The name of its route.
    pub route: Arc<str>,
    /// The request's method.
    pub method: String,
    /// The request's path, without the query.
    pub path: String,
    /// How it ended.
    pub outcome: Cow<'static, str>,
    /// The status that the application got.
    pub status: Option<u16>,
    /// What saved it: `retry`, `failover`, `hedge`, or `heal`.
    pub saved: Option<Cow<'static, str>>,
    /// What broke last, if it failed.
    pub code: Option<Cow<'static, str>>,
    /// Why nothing more was tried.
    pub stopped: Option<Cow<'static, str>>,
    /// What the application got in place of an answer.
    pub degraded: Option<Cow<'static, str>>,
    /// Whether the application felt it: no answer, a broken one, a body that was cut.
    pub failed: bool,
    /// From its start to the head of the answer, or to its end.
    pub took_ms: Option<f64>,
    /// How long it waited for a breaker that lets it through, where every one was open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<f64>,
    /// Attempts that were made.
    pub attempts: usize,
    /// What broke, in its order.
    pub breaks: Vec<BreakRow>,
}

/// A break of such a call.
#[derive(Clone, Debug, Serialize)]
pub struct BreakRow {
    /// Of which attempt; `None` for the body of the answer.
    pub attempt: Option<u16>,
    /// Where.
    pub endpoint: Arc<str>,
    /// What.
    pub code: Cow<'static, str>,
    /// In which phase.
    pub phase: Option<Cow<'static, str>>,
    /// How far the request got.
    pub certainty: Option<Cow<'static, str>>,
    /// What was decided then.
    pub decision: Option<Cow<'static, str>>,
    /// From the attempt's start.
    pub took_ms: Option<f64>,
}

impl CallRow {
    pub(crate) fn of(call: &KeptCall, at_unix_ms: u64) -> Self {
        let failed = call.is_failed();
        let record = call.record();
        let healed = record.healed.filter(|_| !failed).map(|_| "heal".into());
        Self {
            breaks: breaks(&record),
            waited_ms: waited_ms(&record),
            id: record.id,
            at_unix_ms,
            started_unix_ms: record.started_unix_ms,
            upstream: record.upstream,
            route: record.route,
            method: record.method,
            path: record.path,
            outcome: record.outcome,
            status: record.status,
            saved: record.saved.or(healed),
            code: record.code,
            stopped: record.stopped,
            degraded: record.degraded,
            failed,
            took_ms: record.took_ms,
            attempts: record.attempts.len(),
        }
    }
}

/// All of its waits for a breaker together.
fn waited_ms(record: &CallRecord) -> Option<f64> {
    let of_breakers = record.holds.iter().filter(|hold| hold.by == Held::Breaker.code());
    of_breakers.filter_map(|hold| hold.for_ms).reduce(|sum, one| sum + one)
}

fn breaks(record: &CallRecord) -> Vec<BreakRow> {
    let of_attempts = record.attempts.iter().filter_map(|attempt| {
        Some(BreakRow {
            attempt: Some(attempt.attempt),
            endpoint: Arc::clone(&attempt.endpoint),
            code: attempt.code.clone()?,
            phase: attempt.phase.clone(),
            certainty: attempt.certainty.clone(),
            decision: attempt.decision.clone(),
            took_ms: attempt.took_ms,
        })
    });
    let answered = record.attempts.iter().rev().find(|attempt| attempt.result == "answered");
    let body = record.body_broke.iter().filter_map(|code| {
        Some(BreakRow {
            attempt: None,
            endpoint: Arc::clone(&answered?.endpoint),
            code: code.clone(),
            phase: Some("body".into()),
            certainty: None,
            decision: record.cut.clone().or_else(|| record.healed.map(|_| "resume".into())),
            took_ms: None,
        })
    });
    of_attempts.chain(body).collect()
}

/// Broken calls that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Live {
    readers: AtomicUsize,
    room: AtomicI64,
    /// Room for what wasn't seen yet.
    spare: AtomicI64,
    /// A bit for each endpoint and code that was.
    seen: AtomicU64,
    left_out: AtomicU64,
    taken: Mutex<Vec<(u64, Arc<KeptCall>)>>,
}

impl Live {
    /// Offers a call. While nobody watches that is one load.
    pub(crate) fn offer(&self, call: &Arc<KeptCall>, unix_ms: impl FnOnce() -> u64) {
        if self.readers.load(Relaxed) == 0 {
            return;
        }
        let bit = 1 << (place(call) % 64);
        let is_new = self.seen.fetch_or(bit, Relaxed) & bit == 0;
        let has_room =
            self.room.fetch_sub(1, Relaxed) > 0 || is_new && self.spare.fetch_sub(1, Relaxed) > 0;
        if has_room {
            self.taken.lock().push((unix_ms(), Arc::clone(call)));
        } else {
            self.left_out.fetch_add(1, Relaxed);
        }
    }

    /// What was offered since the last time, in short, and how many were left out; makes room again.
    pub(crate) fn take(&self) -> (Vec<CallRow>, u64) {
        let taken = std::mem::take(&mut *self.taken.lock());
        let left_out = self.left_out.swap(0, Relaxed);
        self.seen.store(0, Relaxed);
        self.room.store(ROOM, Relaxed);
        self.spare.store(SPARE, Relaxed);
        (taken.iter().map(|(at, call)| CallRow::of(call, *at)).collect(), left_out)
    }

    /// One more who watches, or one less.
    pub(crate) fn watched(&self, by: usize) {
        if self.readers.swap(by, Relaxed) == 0 && by > 0 {
            // What is left from the last time is old.
            self.taken.lock().clear();
            self.left_out.store(0, Relaxed);
            self.room.store(ROOM, Relaxed);
            self.spare.store(SPARE, Relaxed);
        }
    }
}

/// Which endpoint and code, as a number.
fn place(call: &KeptCall) -> u64 {
    let first = call.trace().events().find_map(|(_, event)| match *event {
        Event::AttemptFailed { endpoint, what, .. } => Some((endpoint.0, what.kind)),
        Event::BodyFailed { endpoint, kind } => Some((endpoint.0, kind)),
        Event::CallFailed { kind, .. } => Some((u16::MAX, kind)),
        _ => None,
    });
    first.map_or(0, |(endpoint, kind)| u64::from(endpoint) * 37 + kind as u64)
}

/// Calls that are taken in a quarter of a second, and those beside them that are seen for the first time in it. Together
/// fifty a second, which is more than anybody can read.
const ROOM: i64 = 8;
const SPARE: i64 = 5;

/// Calls that [`crate::Recorder::take_calls`] gives in a second at most, where it is asked four times in it.
pub const CALLS_PER_SECOND: u32 = 4 * (ROOM + SPARE) as u32;
