//! An upstream's side of the recorder: takes in events as they happen.

use std::sync::Arc;

use mainstay_core::breaks::BreakKind;
use mainstay_core::event::OpenCause;
use mainstay_core::{EndpointId, Event, Timestamp};

use crate::call::kept::KeptCall;
use crate::counters::{EndpointCounters, Exemplar, UpstreamCounters};
use crate::feed::{FeedItem, Source, is_news, is_transition};
use crate::history::{EndpointLook, EndpointNow, UpstreamNow};
use crate::incidents::{CallEnd, First, IncidentTurn, Key, Seen, is_nowhere};
use crate::label::{Change, Delay, Outcome};
use crate::names::Names;
use crate::recorder::Shared;
use crate::trace::is_break;
use crate::{CallBrief, CallId, CallTag, CallTrace};

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
        addresses: Box<[(Box<str>, u16)]>,
    ) -> Arc<Self> {
        let endpoint_names = endpoints.iter().map(|endpoint| Arc::clone(endpoint.name()));
        let names = Names::new(Arc::clone(calls.name()), endpoint_names.collect(), addresses);
        Arc::new(Self { shared: Arc::clone(shared), names, calls, endpoints })
    }

    /// Takes in one event of a call as it happens.
    pub fn on_call_event(&self, trace: &mut CallTrace, at: Timestamp, event: Event) {
        trace.push(at, event);
        self.count(at, &event);
        if is_break(&event) {
            trace.note_wall_time(at, || self.shared.unix_millis());
            if self.shared.incidents().are_kept() {
                self.note_break(trace, at, &event);
            }
        }
        if is_news(&event) {
            self.publish(trace.id(), at, &event, None);
        }
    }

    /// The call is over: writes its record if it met a break, and keeps it to be told as spans.
    pub fn on_call_over(&self, tag: &CallTag, trace: CallTrace) {
        self.on_call_over_with(trace, &tag.brief(), || tag.clone());
    }

    /// The same for a driver that makes the tag only if it is needed, since a tag costs allocations.
    pub fn on_call_over_with(
        &self,
        trace: CallTrace,
        brief: &CallBrief<'_>,
        tag: impl FnOnce() -> CallTag,
    ) {
        self.calls.on_over();
        if trace.is_broken() || trace.is_told() {
            self.write_record(brief, tag(), trace);
        } else if let Some(log) = self.shared.log().filter(|log| log.wants_every()) {
            let now = self.shared.unix_millis();
            if !log.write_well(brief, self.names.upstream(), &trace, now) {
                self.write_record(brief, tag(), trace);
            }
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

    /// A break may begin an incident.
    #[cold]
    fn note_break(&self, trace: &CallTrace, at: Timestamp, event: &Event) {
        let names = &self.names;
        let (endpoint, kind, certainty) = match *event {
            Event::AttemptFailed { endpoint, what, .. } => {
                (Some(endpoint), what.kind, Some(what.certainty))
            }
            Event::BodyFailed { endpoint, kind } => (Some(endpoint), kind, None),
            Event::CallFailed { kind, certainty, .. } if is_nowhere(kind) => {
                let broke = |(_, event): &(Timestamp, Event)| matches!(event, Event::AttemptFailed { what, .. } if what.kind.blames_endpoint());
                if trace.events().any(broke) {
                    return;
                }
                (None, kind, Some(certainty))
            }
            _ => return,
        };
        if endpoint.is_some() && !kind.blames_endpoint() {
            return;
        }
        let endpoint = endpoint.map(|endpoint| names.endpoint(endpoint));
        let first = First { call: trace.id(), certainty, details: None };
        let key = Key::of(names.upstream(), endpoint, kind);
        let turn = self.shared.incidents().on_break(key, first, self.shared.wall(at));
        self.turned(turn);
    }

    /// What becomes of an endpoint may begin or end one.
    fn note_endpoint(&self, at: Timestamp, event: &Event, details: Option<&Arc<str>>) {
        let (names, incidents) = (&self.names, self.shared.incidents());
        let upstream = names.upstream();
        let now = || self.shared.wall(at);
        let turn = match *event {
            Event::BreakerOpened { cause: OpenCause::Forced, .. } => None,
            Event::BreakerOpened { endpoint, .. } => {
                incidents.on_breaker_opened(upstream, names.endpoint(endpoint), now())
            }
            Event::BreakerClosed { endpoint } => {
                incidents.on_breaker_closed(upstream, names.endpoint(endpoint), at);
                None
            }
            Event::EndpointUnhealthy { endpoint, kind } => {
                let key = Key::of(upstream, Some(names.endpoint(endpoint)), kind);
                incidents.on_check_failed(key, details, now())
            }
            Event::EndpointHealthy { endpoint } => {
                incidents.on_check_passed(upstream, names.endpoint(endpoint), at);
                None
            }
            _ => None,
        };
        self.turned(turn);
    }

    fn turned(&self, turns: impl IntoIterator<Item = IncidentTurn>) {
        for turn in turns {
            if turn.began
                && let Some(kind) = BreakKind::from_code(&turn.incident.cause)
            {
                self.calls.on_incident(kind);
            }
            self.shared.note_incident(turn);
        }
    }

    /// Notes how the endpoints stand, in the order of their ids, and how full its budget is (0 to 1). To be called
    /// each second, by one thread; `counts` asks for rates as well, for [`UpstreamRecorder::now`].
    pub fn look(&self, at: Timestamp, level: f64, endpoints: &[EndpointLook], counts: bool) {
        let past = &mut *self.calls.past();
        past.get_or_insert_with(|| self.calls.new_past()).look(at, level, &self.calls, counts);
        for (look, counters) in endpoints.iter().zip(&self.endpoints) {
            let past = &mut *counters.past();
            past.get_or_insert_with(|| counters.new_past()).look(at, *look, counters, counts);
        }
        let seen = |name: Option<&str>| match name {
            None => Some(Seen { is_out: false, answered: self.calls.pulse().part.delivered }),
            Some(name) => {
                let place = self.endpoints.iter().position(|one| **one.name() == *name)?;
                let is_out = endpoints.get(place).is_some_and(|look| look.state.is_out());
                Some(Seen { is_out, answered: self.endpoints[place].pulse().answered })
            }
        };
        let now = self.shared.wall(at);
        self.turned(self.shared.incidents().look(self.calls.name(), now, seen));
    }

    /// How it fares, and its endpoints, in the order of their ids, as far as they were looked at.
    #[must_use]
    pub fn now(&self) -> (UpstreamNow, Vec<EndpointNow>) {
        let upstream = self.calls.past().as_ref().map(|past| past.now(&self.calls));
        let endpoint = |counters: &Arc<EndpointCounters>| {
            let past = counters.past();
            past.as_ref().map(|past| past.now(counters)).unwrap_or_default()
        };
        (upstream.unwrap_or_default(), self.endpoints.iter().map(endpoint).collect())
    }

    /// Nobody asks for rates any more: the next ones begin anew.
    pub fn rest(&self) {
        self.calls.past().iter_mut().for_each(|past| past.rest());
        self.endpoints.iter().for_each(|one| one.past().iter_mut().for_each(|past| past.rest()));
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
            Event::BreakerAwaited { waited, passed } => {
                self.calls.on_breaker_awaited(waited, passed);
            }
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
        let is_change = is_transition(event);
        if !is_change && !self.shared.feed().has_readers() {
            return;
        }
        let source = Source { names: &self.names, call, unix_ms: self.shared.unix_millis() };
        let item = Arc::new(FeedItem { details: details.cloned(), ..source.item(at, event) });
        match is_change {
            true => {
                self.shared.note_change(&item);
                if self.shared.incidents().are_kept() {
                    self.note_endpoint(at, event, details);
                }
            }
            false => self.shared.feed().send(item),
        }
    }

    /// Keeps the call as an example of what it was counted as.
    fn keep_examples(&self, trace: &CallTrace, call: CallId, unix_ms: u64) {
        let context = trace.context().filter(|_| trace.is_told() && self.shared.spans().is_open());
        let trace_id = context.map(|context| (context.trace_id(), context.span_id()));
        let example = Exemplar { call, trace: trace_id, took_nanos: 0, unix_ms };
        for (_, event) in trace.events() {
            match *event {
                Event::AttemptFailed { endpoint, what, took, .. } => {
                    self.endpoint(endpoint).keep_example(what.kind, example.took(took));
                }
                Event::CallDelivered { as_is, took, .. } => {
                    let outcome = if as_is { Outcome::AsIs } else { Outcome::Delivered };
                    self.calls.keep_duration(outcome, example.took(took));
                }
                Event::CallFailed { kind, certainty, took, .. } => {
                    self.calls.keep_duration(Outcome::Failed, example.took(took));
                    self.calls.keep_failure(kind, certainty, example.took(took));
                }
                _ => {}
            }
        }
    }

    #[cold]
    fn write_record(&self, brief: &CallBrief<'_>, tag: CallTag, trace: CallTrace) {
        let (broken, told) = (trace.is_broken(), trace.is_told());
        let dropped = trace.dropped();
        let now = || self.shared.unix_millis();
        if broken || told {
            self.keep_examples(&trace, tag.id, now());
        }
        let mut logged = self.shared.log().filter(|log| broken || log.wants_every());
        if logged.is_some_and(|log| log.write_well(brief, self.names.upstream(), &trace, now())) {
            logged = None;
        }
        if !broken && logged.is_none() && !(told && self.shared.spans().is_open()) {
            return;
        }
        let call = Arc::new(KeptCall::new(tag, &self.names, trace, now));
        if let Some(log) = logged {
            log.write_call(&call.record(), now());
        }
        if told && self.shared.spans().is_open() {
            self.shared.spans().push(&call, broken);
        }
        if broken {
            self.shared.keep(&call);
            self.shared.live().offer(&call, now);
            if self.shared.incidents().are_kept()
                && let Some(end) = CallEnd::of(&call)
            {
                self.shared.incidents().on_call(&end);
            }
            self.calls.on_broken(dropped);
        }
    }
}
