//! An upstream's side of the recorder: takes in events as they happen.

use std::sync::Arc;

use mainstay_core::breaks::BreakKind;
use mainstay_core::{EndpointId, Event, Timestamp};

use crate::call::kept::KeptCall;
use crate::counters::{EndpointCounters, UpstreamCounters};
use crate::feed::{FeedItem, Source, is_news, is_transition};
use crate::label::{Change, Delay};
use crate::log::LogCalls;
use crate::names::Names;
use crate::recorder::Shared;
use crate::trace::is_break;
use crate::{CallId, CallTag, CallTrace};

/// The recorder's part for one upstream: metric handles made once, found again by name after a reload.
///
/// A healthy call's events add to a handful of counters, without a lock or an allocation. What breaks is also kept,
/// published and logged.
#[derive(Debug)]
pub struct UpstreamRecorder {
    shared: Arc<Shared>,
    names: Arc<Names>,
    calls: Arc<UpstreamCounters>,
    endpoints: Box<[Arc<EndpointCounters>]>,
}

impl UpstreamRecorder {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        calls: Arc<UpstreamCounters>,
        endpoints: Box<[Arc<EndpointCounters>]>,
    ) -> Arc<Self> {
        let endpoint_names = endpoints.iter().map(|endpoint| Arc::clone(endpoint.name()));
        let names = Names::new(Arc::clone(calls.name()), endpoint_names.collect());
        Arc::new(Self { shared: Arc::clone(shared), names, calls, endpoints })
    }

    /// Takes in one event of a call as it happens.
    pub fn on_call_event(&self, trace: &mut CallTrace, at: Timestamp, event: Event) {
        trace.push(at, event);
        self.count(at, &event);
        if is_break(&event) {
            trace.note_wall_time(at, || self.shared.unix_millis());
        }
        if is_news(&event) {
            self.publish(trace.id(), at, &event, None);
        }
    }

    /// The call is over: writes its record if it met a break.
    pub fn on_call_over(&self, tag: &CallTag, trace: CallTrace) {
        self.calls.on_over();
        if trace.is_broken() || self.shared.logs(LogCalls::Every) {
            self.write_record(tag, trace);
        }
    }

    /// The same for a driver that makes the tag only if it is needed, since a tag costs an allocation.
    pub fn on_call_over_with(&self, trace: CallTrace, tag: impl FnOnce() -> CallTag) {
        self.calls.on_over();
        if trace.is_broken() || self.shared.logs(LogCalls::Every) {
            self.write_record(&tag(), trace);
        }
    }

    /// Takes in an event of the upstream itself: ejections, health.
    pub fn on_upstream_event(&self, at: Timestamp, event: Event) {
        self.on_upstream_event_with(at, event, None);
    }

    /// The same, with what the error said that led to it. That may be a peer's own text.
    pub fn on_upstream_event_with(&self, at: Timestamp, event: Event, details: Option<&Arc<str>>) {
        self.count(at, &event);
        if is_news(&event) {
            self.publish(None, at, &event, details);
        }
    }

    /// Counts an active check. What it changes comes as events.
    pub fn on_check(&self, endpoint: EndpointId, outcome: Result<(), BreakKind>) {
        self.endpoint(endpoint).on_check(outcome);
    }

    /// Each event adds to the counters that tell of it; the census relies on each having one.
    fn count(&self, at: Timestamp, event: &Event) {
        match *event {
            Event::CallStarted => self.calls.on_started(at),
            Event::AttemptStarted { endpoint, reason, .. } => {
                self.calls.on_attempt();
                self.endpoint(endpoint).on_started(reason);
            }
            Event::AttemptSucceeded { endpoint, took, .. } => {
                self.endpoint(endpoint).on_answered(took);
            }
            Event::AttemptFailed { endpoint, what, .. } => {
                self.endpoint(endpoint).on_broke(what.kind);
            }
            Event::AttemptOutrun { endpoint, .. } => self.endpoint(endpoint).on_outrun(),
            Event::HedgeRefused { reason } => self.calls.on_hedge_refused(reason),
            Event::AttemptHeld { by } => self.calls.on_held(by),
            Event::CallShed { reason } => self.calls.on_shed(reason),
            Event::RetryScheduled { hinted, .. } => self.calls.on_delay(Delay::new(hinted)),
            Event::RetryRefused { reason } => self.calls.on_stop(reason),
            Event::BodyUnrepeatable => self.calls.on_unrepeatable(),
            Event::CallDelivered { saved, took, as_is, .. } => {
                self.calls.on_delivered(saved, as_is, took);
            }
            Event::CallFailed { kind, certainty, took, .. } => {
                self.calls.on_failed(kind, certainty, took);
            }
            Event::CallDegraded { by, .. } => self.calls.on_degraded(by),
            Event::BodyFailed { endpoint, kind } => self.endpoint(endpoint).on_body_broke(kind),
            Event::BodyResumed { endpoint, .. } => self.endpoint(endpoint).on_resumed(),
            Event::AnswerHealed { .. } => self.calls.on_healed(),
            Event::AnswerCut { why, .. } => self.calls.on_cut(why),
            Event::UploadResumed { endpoint, .. } => self.endpoint(endpoint).on_upload_resumed(),
            Event::UploadNotResumed { why } => self.calls.on_upload_not_resumed(why),
            Event::TunnelEnded { end, counts, .. } => self.calls.on_tunnel_ended(end, counts),
            Event::BreakerOpened { endpoint, cause, .. } => {
                self.endpoint(endpoint).on_opened(cause);
            }
            Event::BreakerHalfOpened { endpoint } => self.change(endpoint, Change::HalfOpened),
            Event::BreakerClosed { endpoint } => self.change(endpoint, Change::Closed),
            Event::EndpointEjected { endpoint, cause, .. } => {
                self.endpoint(endpoint).on_ejected(cause);
            }
            Event::EndpointReturned { endpoint } => self.change(endpoint, Change::Returned),
            Event::EndpointUnhealthy { endpoint, .. } => self.change(endpoint, Change::Unhealthy),
            Event::EndpointHealthy { endpoint } => self.change(endpoint, Change::Healthy),
            Event::EndpointThrottled { endpoint, .. } => self.change(endpoint, Change::Throttled),
            Event::FailedOpen { endpoint } => self.change(endpoint, Change::FailedOpen),
            Event::AddressesChanged { endpoint } => self.change(endpoint, Change::AddressesChanged),
            Event::AddressesKept { endpoint, .. } => self.change(endpoint, Change::AddressesKept),
            Event::CertificateExpiring { endpoint, .. } => {
                self.change(endpoint, Change::CertificateExpiring);
            }
        }
    }

    fn change(&self, endpoint: EndpointId, change: Change) {
        self.endpoint(endpoint).on_change(change);
    }

    fn endpoint(&self, id: EndpointId) -> &EndpointCounters {
        self.endpoints.get(usize::from(id.0)).unwrap_or(self.calls.other())
    }

    /// Makes an item for the feed and the log, if anybody wants it.
    fn publish(
        &self,
        call: Option<CallId>,
        at: Timestamp,
        event: &Event,
        details: Option<&Arc<str>>,
    ) {
        let log = self.shared.log().filter(|_| is_transition(event));
        let watched = self.shared.feed().has_readers();
        if log.is_none() && !watched {
            return;
        }
        let source = Source { names: &self.names, call, unix_ms: self.shared.unix_millis() };
        let item = FeedItem { details: details.cloned(), ..source.item(at, event) };
        if let Some(log) = log {
            log.write_transition(&item);
        }
        if watched {
            self.shared.feed().send(Arc::new(item));
        }
    }

    #[cold]
    fn write_record(&self, tag: &CallTag, trace: CallTrace) {
        let broken = trace.is_broken();
        let dropped = trace.dropped();
        let now = || self.shared.unix_millis();
        let call = Arc::new(KeptCall::new(tag, &self.names, trace, now));
        if let Some(log) = self.shared.log() {
            log.write_call(&call.record(), now());
        }
        if broken {
            self.shared.keep(&call);
            self.calls.on_broken(dropped);
        }
    }
}
