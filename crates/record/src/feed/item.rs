//! One item of the feed: a fact with its names and codes, ready to be sent away as JSON.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::event::{AttemptId, AttemptReason, Held, Saved};
use mainstay_core::{Event, Timestamp};
use serde::{Deserialize, Serialize};

use crate::CallId;
use crate::label::{Delay, Label};
use crate::names::Names;

/// A fact. Which fields are there depends on the event; a name once used never changes its meaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedItem {
    /// The version of this form: 1.
    pub v: u8,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// When it was known, where that is later: an incident began with its first break and ended with what ended it, and either is
    /// known to be so some seconds later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed_unix_ms: Option<u64>,
    /// The event's code: `attempt-failed`, `breaker-opened`, and so on.
    pub event: Cow<'static, str>,
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// The call, if it is about one and its id is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Arc<str>>,
    /// Which attempt of the call, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u16>,
    /// How many attempts the call made, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u16>,
    /// How often an answer broke that came whole all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<u16>,
    /// The code of the break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// What the error said that led to it, where it is known; at most 300 letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Arc<str>>,
    /// The phase that it broke in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Cow<'static, str>>,
    /// How far the request got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Cow<'static, str>>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was decided: `wait`, `retry`, `failover`, `deliver`, `deliver-as-is`, `degrade`, `fail`, `resume`,
    /// `cut`, or `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Cow<'static, str>>,
    /// Why: the reason to stop, what decided the delay, the cause of an opening or ejection, what saved the call, what
    /// stood in for its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Cow<'static, str>>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Who ordered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Arc<str>>,
    /// What it is about, where that is neither a call nor an endpoint: a delivery, a lane, an incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<Arc<str>>,
    /// For how long it will be so: a delay, an open breaker, an ejection; in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<f64>,
}

/// Where a fact comes from.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) names: &'a Names,
    pub(crate) call: Option<CallId>,
    pub(crate) unix_ms: u64,
}

/// Whether the event belongs into the feed. Nothing that a healthy call does is news.
pub(crate) const fn is_news(event: &Event) -> bool {
    match event {
        Event::CallStarted | Event::AttemptSucceeded { .. } => false,
        Event::TunnelEnded { end, .. } => end.broke().is_some(),
        Event::AttemptStarted { reason, .. } => !matches!(reason, AttemptReason::First),
        Event::CallDelivered { saved, as_is, .. } => *as_is || !matches!(saved, Saved::NotNeeded),
        Event::AttemptFailed { .. }
        | Event::AttemptOutrun { .. }
        | Event::HedgeRefused { .. }
        | Event::AttemptHeld { .. }
        | Event::BreakerAwaited { .. }
        | Event::CallShed { .. }
        | Event::RetryScheduled { .. }
        | Event::RetryRefused { .. }
        | Event::BodyUnrepeatable
        | Event::CallFailed { .. }
        | Event::CallDegraded { .. }
        | Event::BodyFailed { .. }
        | Event::BodyResumed { .. }
        | Event::AnswerHealed { .. }
        | Event::AnswerCut { .. }
        | Event::UploadResumed { .. }
        | Event::UploadNotResumed { .. }
        | Event::EndpointThrottled { .. }
        | Event::AddressesChanged { .. }
        | Event::AddressesKept { .. }
        | Event::CertificateExpiring { .. }
        | Event::FailedOpen { .. } => true,
        Event::BreakerOpened { .. }
        | Event::BreakerHalfOpened { .. }
        | Event::BreakerClosed { .. }
        | Event::EndpointEjected { .. }
        | Event::EndpointReturned { .. }
        | Event::EndpointUnhealthy { .. }
        | Event::EndpointHealthy { .. } => true,
    }
}

/// Whether the event is a change of a breaker or an endpoint: rare, and worth a line of its own in the log.
pub(crate) const fn is_transition(event: &Event) -> bool {
    matches!(
        event,
        Event::BreakerOpened { .. }
            | Event::BreakerHalfOpened { .. }
            | Event::BreakerClosed { .. }
            | Event::EndpointEjected { .. }
            | Event::EndpointReturned { .. }
            | Event::EndpointUnhealthy { .. }
            | Event::EndpointHealthy { .. }
            | Event::AddressesChanged { .. }
            | Event::AddressesKept { .. }
            | Event::CertificateExpiring { .. }
    )
}

impl Source<'_> {
    /// The item for an event that happened at `at`.
    pub(crate) fn item(&self, at: Timestamp, event: &Event) -> FeedItem {
        let item = FeedItem {
            v: 1,
            at_unix_ms: self.unix_ms,
            event: event.code().into(),
            upstream: Arc::clone(self.names.upstream()),
            call: self.call,
            ..FeedItem::default()
        };
        let on = |endpoint| Some(Arc::clone(self.names.endpoint(endpoint)));
        match *event {
            Event::CallStarted => item,
            Event::AttemptStarted { attempt: AttemptId(attempt), endpoint, reason } => FeedItem {
                attempt: Some(attempt),
                endpoint: on(endpoint),
                decision: code(reason),
                ..item
            },
            Event::AttemptSucceeded { attempt, endpoint, status, took } => FeedItem {
                attempt: Some(attempt.0),
                endpoint: on(endpoint),
                status: Some(status),
                took_ms: Some(millis(took)),
                ..item
            },
            Event::AttemptFailed { attempt, endpoint, what, took } => FeedItem {
                attempt: Some(attempt.0),
                endpoint: on(endpoint),
                code: code(what.kind),
                phase: Some(what.phase().code().into()),
                certainty: code(what.certainty),
                status: what.status,
                took_ms: Some(millis(took)),
                ..item
            },
            Event::AttemptOutrun { attempt, endpoint, took } => FeedItem {
                attempt: Some(attempt.0),
                endpoint: on(endpoint),
                took_ms: Some(millis(took)),
                ..item
            },
            Event::HedgeRefused { reason } => FeedItem { why: code(reason), ..item },
            Event::AttemptHeld { by } => {
                FeedItem { decision: Some("wait".into()), why: code(by), ..item }
            }
            Event::BreakerAwaited { waited, passed } => FeedItem {
                decision: Some(if passed { "go" } else { "stop" }.into()),
                why: code(Held::Breaker),
                took_ms: Some(millis(waited)),
                ..item
            },
            Event::CallShed { reason } => {
                FeedItem { decision: Some("stop".into()), why: code(reason), ..item }
            }
            Event::RetryScheduled { delay, hinted } => FeedItem {
                decision: Some("wait".into()),
                why: code(Delay::new(hinted)),
                for_ms: Some(millis(delay)),
                ..item
            },
            Event::RetryRefused { reason } => {
                FeedItem { decision: Some("stop".into()), why: code(reason), ..item }
            }
            Event::BodyUnrepeatable => item,
            Event::CallDelivered { status, attempts, saved, took, as_is } => FeedItem {
                status: Some(status),
                attempts: Some(attempts),
                decision: Some(if as_is { "deliver-as-is" } else { "deliver" }.into()),
                why: code(saved),
                took_ms: Some(millis(took)),
                ..item
            },
            Event::CallFailed { kind, certainty, attempts, took } => FeedItem {
                code: code(kind),
                phase: Some(kind.phase().code().into()),
                certainty: code(certainty),
                attempts: Some(attempts),
                decision: Some("fail".into()),
                took_ms: Some(millis(took)),
                ..item
            },
            Event::CallDegraded { by, status } => FeedItem {
                status: Some(status),
                decision: Some("degrade".into()),
                why: code(by),
                ..item
            },
            Event::BodyFailed { endpoint, kind } => FeedItem {
                endpoint: on(endpoint),
                code: code(kind),
                phase: Some(kind.phase().code().into()),
                ..item
            },
            Event::BodyResumed { attempt, endpoint, took } => FeedItem {
                attempt: Some(attempt.0),
                endpoint: on(endpoint),
                decision: Some("resume".into()),
                took_ms: Some(millis(took)),
                ..item
            },
            Event::AnswerHealed { breaks } => FeedItem { breaks: Some(breaks), ..item },
            Event::AnswerCut { kind, why } => FeedItem {
                code: code(kind),
                phase: Some(kind.phase().code().into()),
                decision: Some("cut".into()),
                why: Some(why.code().into()),
                ..item
            },
            Event::UploadResumed { attempt, endpoint, took, .. } => FeedItem {
                attempt: Some(attempt.0),
                endpoint: on(endpoint),
                decision: Some("resume".into()),
                took_ms: Some(millis(took)),
                ..item
            },
            Event::UploadNotResumed { why } => FeedItem { why: Some(why.code().into()), ..item },
            Event::TunnelEnded { end, lasted, .. } => {
                FeedItem { why: code(end), took_ms: Some(millis(lasted)), ..item }
            }
            Event::BreakerOpened { endpoint, cause, open_for } => FeedItem {
                endpoint: on(endpoint),
                why: code(cause),
                // An operator's order holds until the next one.
                for_ms: (open_for < Duration::MAX).then(|| millis(open_for)),
                ..item
            },
            Event::EndpointEjected { endpoint, cause, ejected_for } => FeedItem {
                endpoint: on(endpoint),
                why: code(cause),
                for_ms: Some(millis(ejected_for)),
                ..item
            },
            Event::EndpointThrottled { endpoint, until } => {
                FeedItem { endpoint: on(endpoint), for_ms: Some(millis(until.since(at))), ..item }
            }
            Event::AddressesKept { endpoint, kind } => {
                FeedItem { endpoint: on(endpoint), code: code(kind), ..item }
            }
            Event::CertificateExpiring { endpoint, left } => {
                FeedItem { endpoint: on(endpoint), for_ms: Some(millis(left)), ..item }
            }
            Event::EndpointUnhealthy { endpoint, kind } => FeedItem {
                endpoint: on(endpoint),
                code: code(kind),
                phase: Some(kind.phase().code().into()),
                ..item
            },
            Event::BreakerHalfOpened { endpoint }
            | Event::AddressesChanged { endpoint }
            | Event::BreakerClosed { endpoint }
            | Event::EndpointReturned { endpoint }
            | Event::EndpointHealthy { endpoint }
            | Event::FailedOpen { endpoint } => FeedItem { endpoint: on(endpoint), ..item },
        }
    }
}

fn code(label: impl Label) -> Option<Cow<'static, str>> {
    Some(label.code().into())
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 1e6).round() / 1e3
}
