//! A broken call as it is kept: its events as they came. The record is made when somebody reads it.

use std::borrow::Cow;
use std::sync::Arc;

use mainstay_core::event::{AttemptId, AttemptReason, Held, Saved};
use mainstay_core::{BreakKind, Event, Timestamp};

use super::RequestFacts;
use super::facts::{AttemptFacts, Circumstances, ConnectionFacts};
use super::record::{AttemptRecord, CallRecord, HoldRecord, NoteRecord, TunnelRecord};
use crate::byte_set::ByteSet;
use crate::feed::millis;
use crate::label::{Delay, Label, Outcome};
use crate::names::Names;
use crate::trace::shortened;
use crate::{CallId, CallTag, CallTrace};

/// Bytes of a path that are kept: a thousand kept calls must not hold megabytes of somebody's long paths.
const PATH_BYTES: usize = 512;

/// Bytes of a method that are kept; the longest registered one has 17.
pub(crate) const METHOD_BYTES: usize = 32;

/// A call that is over.
#[derive(Debug)]
pub(crate) struct KeptCall {
    id: CallId,
    route: Arc<str>,
    method: Box<str>,
    path: Box<str>,
    names: Arc<Names>,
    started_unix_ms: u64,
    trace: CallTrace,
    request: Option<Box<RequestFacts>>,
}

impl KeptCall {
    /// Keeps what a record needs. `now_unix_ms` is asked only when nothing broke.
    pub(crate) fn new(
        tag: CallTag,
        names: &Arc<Names>,
        trace: CallTrace,
        now_unix_ms: impl FnOnce() -> u64,
    ) -> Self {
        Self {
            id: tag.id,
            route: tag.route,
            method: shortened(tag.method.as_str(), METHOD_BYTES).into(),
            path: clean_path(&tag.path).into(),
            names: Arc::clone(names),
            started_unix_ms: trace.started_unix_ms(now_unix_ms),
            trace,
            request: tag.request,
        }
    }

    pub(crate) const fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn names(&self) -> &Arc<Names> {
        &self.names
    }

    pub(crate) const fn trace(&self) -> &CallTrace {
        &self.trace
    }

    /// What else spans say, if there are to be some.
    pub(crate) fn request(&self) -> Option<&RequestFacts> {
        self.request.as_deref()
    }

    /// Whether the application got to feel it: no answer, a broken one, a broken body.
    pub(crate) fn is_failed(&self) -> bool {
        let is_healed =
            || self.trace.events().any(|(_, event)| matches!(event, Event::AnswerHealed { .. }));
        self.trace.events().any(|(_, event)| match event {
            Event::CallFailed { .. } | Event::AnswerCut { .. } => true,
            Event::CallDelivered { as_is, .. } => *as_is,
            // Whoever closes a stream that it has read enough of misses nothing.
            Event::BodyFailed { kind, .. } => *kind != BreakKind::ClientGone && !is_healed(),
            _ => false,
        })
    }

    /// The record of the call.
    pub(crate) fn record(&self) -> CallRecord {
        let began = self.trace.events().next().map_or(Timestamp::ZERO, |(at, _)| *at);
        let record = CallRecord {
            v: 1,
            id: self.id,
            route: Arc::clone(&self.route),
            upstream: Arc::clone(self.names.upstream()),
            method: self.method.to_string(),
            path: self.path.to_string(),
            started_unix_ms: self.started_unix_ms,
            took_ms: None,
            outcome: "unfinished".into(),
            status: None,
            saved: None,
            code: None,
            certainty: None,
            stopped: None,
            body_broke: None,
            healed: None,
            cut: None,
            upload_resumed: None,
            upload_not_resumed: None,
            tunnel: None,
            body_unrepeatable: false,
            attempts: Vec::new(),
            notes: Vec::new(),
            holds: Vec::new(),
            hedge_refused: None,
            degraded: None,
            events_dropped: self.trace.dropped(),
        };
        let mut story = Story { names: &self.names, began, record };
        for (at, event) in self.trace.events() {
            story.add(*at, event);
        }
        for attempt in &mut story.record.attempts {
            if let Some(facts) = self.trace.facts(AttemptId(attempt.attempt)) {
                add_facts(attempt, facts, began);
            }
        }
        story.record
    }
}

/// A record in the making.
struct Story<'a> {
    names: &'a Names,
    began: Timestamp,
    record: CallRecord,
}

impl Story<'_> {
    fn add(&mut self, at: Timestamp, event: &Event) {
        let record = &mut self.record;
        match *event {
            Event::CallStarted => {}
            Event::AttemptStarted { attempt, endpoint, reason } => {
                // A hedge follows from no break.
                if reason != AttemptReason::Hedge
                    && let Some(last) = record.attempts.last_mut()
                {
                    last.decision = Some(reason.code().into());
                }
                record.attempts.push(AttemptRecord {
                    attempt: attempt.0,
                    endpoint: Arc::clone(self.names.endpoint(endpoint)),
                    reason: reason.code().into(),
                    started_ms: millis(at.since(self.began)),
                    result: "unfinished".into(),
                    ..AttemptRecord::default()
                });
            }
            Event::AttemptSucceeded { attempt, status, took, .. } => {
                if let Some(answered) = record.attempts.iter_mut().find(|a| a.attempt == attempt.0)
                {
                    answered.result = "answered".into();
                    answered.status = Some(status);
                    answered.took_ms = Some(millis(took));
                }
            }
            Event::AttemptFailed { attempt, what, took, .. } => {
                if let Some(broke) = record.attempts.iter_mut().find(|a| a.attempt == attempt.0) {
                    broke.result = "broke".into();
                    broke.took_ms = Some(millis(took));
                    broke.status = what.status;
                    broke.code = Some(what.kind.code().into());
                    broke.phase = Some(what.phase().code().into());
                    broke.certainty = Some(what.certainty.code().into());
                    broke.retry_after_ms = what.retry_after.map(millis);
                }
            }
            Event::AttemptOutrun { attempt, took, .. } => {
                if let Some(outrun) = record.attempts.iter_mut().find(|a| a.attempt == attempt.0) {
                    outrun.result = "outrun".into();
                    outrun.took_ms = Some(millis(took));
                }
            }
            Event::HedgeRefused { reason } => {
                record.hedge_refused = Some(reason.code().into());
            }
            Event::AttemptHeld { by } => record.holds.push(HoldRecord {
                by: by.code().into(),
                at_ms: millis(at.since(self.began)),
                for_ms: None,
                passed: None,
            }),
            Event::BreakerAwaited { waited, passed } => {
                let begun = record.holds.iter_mut().rfind(|hold| hold.by == Held::Breaker.code());
                if let Some(hold) = begun {
                    (hold.for_ms, hold.passed) = (Some(millis(waited)), Some(passed));
                }
            }
            Event::CallShed { reason } => record.stopped = Some(reason.code().into()),
            Event::RetryScheduled { delay, hinted } => {
                if let Some(last) = record.attempts.last_mut() {
                    last.delay_ms = Some(millis(delay));
                    last.delayed_by = Some(Delay::new(hinted).code().into());
                }
            }
            Event::RetryRefused { reason } => {
                record.stopped = Some(reason.code().into());
                if let Some(last) = record.attempts.last_mut() {
                    last.decision = Some(reason.code().into());
                }
            }
            Event::BodyUnrepeatable => record.body_unrepeatable = true,
            Event::CallDelivered { status, saved, took, as_is, .. } => {
                let outcome = if as_is { Outcome::AsIs } else { Outcome::Delivered };
                record.outcome = outcome.code().into();
                record.status = Some(status);
                record.saved = (saved != Saved::NotNeeded).then(|| saved.code().into());
                record.took_ms = Some(millis(took));
            }
            Event::CallFailed { kind, certainty, took, .. } => {
                record.outcome = Outcome::Failed.code().into();
                record.code = Some(kind.code().into());
                record.certainty = Some(certainty.code().into());
                record.took_ms = Some(millis(took));
            }
            Event::CallDegraded { by, status } => {
                record.degraded = Some(by.code().into());
                record.status = Some(status);
            }
            Event::BodyFailed { kind, .. } => record.body_broke = Some(kind.code().into()),
            Event::BodyResumed { .. } => {}
            Event::AnswerHealed { breaks } => record.healed = Some(breaks),
            Event::AnswerCut { why, .. } => record.cut = Some(why.code().into()),
            Event::UploadResumed { .. } => {
                let resumed = record.upload_resumed.get_or_insert_default();
                *resumed = resumed.saturating_add(1);
            }
            Event::UploadNotResumed { why } => {
                record.upload_not_resumed = Some(why.code().into());
            }
            Event::TunnelEnded { end, lasted, counts } => {
                record.tunnel = Some(TunnelRecord {
                    end: end.code().into(),
                    lasted_ms: millis(lasted),
                    sent_bytes: counts.sent,
                    received_bytes: counts.received,
                    pings: counts.pings,
                    reopened: (counts.reopened > 0).then_some(counts.reopened),
                    close_code: counts.close_code,
                });
            }
            Event::BreakerOpened { endpoint, .. }
            | Event::BreakerHalfOpened { endpoint }
            | Event::BreakerClosed { endpoint }
            | Event::EndpointEjected { endpoint, .. }
            | Event::EndpointReturned { endpoint }
            | Event::EndpointUnhealthy { endpoint, .. }
            | Event::EndpointHealthy { endpoint }
            | Event::EndpointThrottled { endpoint, .. }
            | Event::AddressesChanged { endpoint }
            | Event::AddressesKept { endpoint, .. }
            | Event::CertificateExpiring { endpoint, .. }
            | Event::FailedOpen { endpoint } => record.notes.push(NoteRecord {
                event: event.code().into(),
                endpoint: Arc::clone(self.names.endpoint(endpoint)),
                at_ms: millis(at.since(self.began)),
            }),
        }
    }
}

/// What the driver saw of an attempt that the events don't tell.
fn add_facts(attempt: &mut AttemptRecord, facts: &AttemptFacts, began: Timestamp) {
    attempt.connection = facts.connection.as_ref().map(ConnectionFacts::record);
    attempt.steps = facts.steps.iter().map(|step| step.record(began)).collect();
    attempt.evidence.clone_from(&facts.evidence);
    attempt.detail.clone_from(&facts.detail);
    attempt.verdict = facts.verdict.map(|verdict| verdict.code().into());
    attempt.circumstances = facts.circumstances.as_ref().map(Circumstances::record);
}

/// The path as it may be kept and shown: no query, no control characters, not too long.
///
/// The tag promises a path without a query; a driver that forgets must not put secrets into logs.
pub(crate) fn clean_path(path: &str) -> Cow<'_, str> {
    static PLAIN: ByteSet = ByteSet::VISIBLE.without(b"?#");
    if path.len() <= PATH_BYTES && PLAIN.holds(path.as_bytes()) {
        return path.into();
    }
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    let path = shortened(&path[..end], PATH_BYTES);
    if !path.contains(char::is_control) {
        return path.into();
    }
    let mut clean = String::with_capacity(path.len() + 16);
    for letter in path.chars() {
        if letter.is_control() {
            let bytes = letter.to_string();
            bytes.bytes().for_each(|byte| clean.push_str(&format!("%{byte:02X}")));
        } else {
            clean.push(letter);
        }
    }
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_loses_its_query_and_its_control_characters() {
        let check = |path: &str, clean: &str| assert_eq!(&*clean_path(path), clean);
        check("/a/b", "/a/b");
        check("/a?token=secret", "/a");
        check("/a#token=secret", "/a");
        check("/a\n\x1b[31m\u{9b}", "/a%0A%1B[31m%C2%9B");
        assert_eq!(clean_path(&"x".repeat(9_000)).len(), PATH_BYTES);
    }
}
