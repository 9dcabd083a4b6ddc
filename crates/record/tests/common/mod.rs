//! Calls as a driver tells them, on a clock of their own.

// Each test file uses a part of this.
#![allow(dead_code, reason = "shared by several test files")]

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::call::HedgeRefusal;
use mainstay_core::event::{
    AttemptId, AttemptReason, DegradedBy, EjectCause, Held, OpenCause, Saved, StopReason,
};
use mainstay_core::heal::NotHealed;
use mainstay_core::heal::socket::{TunnelCounts, TunnelEnd};
use mainstay_core::{Break, BreakKind, Certainty, EndpointId, Event, Timestamp};
use mainstay_record::{
    AttemptFacts, CallId, CallTag, CallTrace, ConnectionFacts, LogCalls, LogFormat, LogOptions,
    LogSink, Recorder, RecorderOptions, UpstreamRecorder,
};
use parking_lot::Mutex;

pub(crate) const A: EndpointId = EndpointId(0);
pub(crate) const B: EndpointId = EndpointId(1);

/// The wall clock of the tests: 2025-12-31T23:59:59.000Z, and it stands still.
pub(crate) const WALL_MS: u64 = 1_767_225_599_000;

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Keeps the lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl LogSink for Lines {
    fn write(&self, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut line = Vec::new();
        write(&mut line);
        self.0.lock().push(String::from_utf8(line).expect("lines are UTF-8"));
    }

    fn dropped(&self) -> u64 {
        7
    }

    fn flush(&self, _: Duration) {}
}

pub(crate) fn recorder() -> Arc<Recorder> {
    Recorder::with(RecorderOptions { unix_millis: || WALL_MS, ..RecorderOptions::default() })
}

pub(crate) fn logging(calls: LogCalls, format: LogFormat) -> (Arc<Recorder>, Arc<Lines>) {
    let lines = Arc::<Lines>::default();
    let sink: Arc<dyn LogSink> = Arc::<Lines>::clone(&lines);
    let log = Some(LogOptions { calls, format, ..LogOptions::new(sink) });
    (Recorder::with(RecorderOptions { log, unix_millis: || WALL_MS }), lines)
}

/// The upstream "api" with the endpoints "a" and "b".
pub(crate) fn api(recorder: &Arc<Recorder>) -> Arc<UpstreamRecorder> {
    recorder.upstream("api", &["a", "b"])
}

pub(crate) fn tag(id: CallId) -> CallTag {
    CallTag {
        id,
        route: "main".into(),
        method: http::Method::GET,
        path: "/v1/charges?key=secret".into(),
        request: None,
    }
}

/// Tells a call's events, each with its time in milliseconds, and that it is over.
pub(crate) fn tell(upstream: &UpstreamRecorder, events: &[(u64, Event)]) -> CallId {
    let id = CallId::next(42);
    let mut trace = CallTrace::of(id);
    for (millis, event) in events {
        if let Event::AttemptFailed { attempt, .. } = event {
            add_detail(&mut trace, *attempt, "tcp: timed out");
        }
        upstream.on_call_event(&mut trace, at(*millis), *event);
    }
    upstream.on_call_over(&tag(id), trace);
    id
}

/// What the error of an attempt said.
pub(crate) fn add_detail(trace: &mut CallTrace, attempt: AttemptId, text: &str) {
    let facts = AttemptFacts { detail: Some(text.into()), ..AttemptFacts::default() };
    trace.add_facts(attempt, facts);
}

/// A kept connection over which ten requests have gone.
pub(crate) fn connection() -> ConnectionFacts {
    ConnectionFacts {
        id: 7,
        peer: Some(([127, 0, 0, 1], 8081).into()),
        protocol: "http/1.1",
        secure: false,
        age: ms(60_000),
        idle_for: Some(ms(1_500)),
        requests_before: 10,
    }
}

pub(crate) fn started(attempt: u16, endpoint: EndpointId, reason: AttemptReason) -> Event {
    Event::AttemptStarted { attempt: AttemptId(attempt), endpoint, reason }
}

pub(crate) fn succeeded(attempt: u16, endpoint: EndpointId, took: u64) -> Event {
    Event::AttemptSucceeded { attempt: AttemptId(attempt), endpoint, status: 200, took: ms(took) }
}

pub(crate) fn broke(
    attempt: u16,
    endpoint: EndpointId,
    kind: BreakKind,
    certainty: Certainty,
) -> Event {
    let what = Break::new(kind, certainty);
    Event::AttemptFailed { attempt: AttemptId(attempt), endpoint, what, took: ms(1002) }
}

pub(crate) fn delivered(attempts: u16, saved: Saved, as_is: bool, took: u64) -> Event {
    Event::CallDelivered { status: 200, attempts, saved, took: ms(took), as_is }
}

pub(crate) fn failed(kind: BreakKind, certainty: Certainty, attempts: u16) -> Event {
    Event::CallFailed { kind, certainty, attempts, took: ms(40) }
}

/// A call that goes well.
pub(crate) fn healthy() -> [(u64, Event); 4] {
    [
        (0, Event::CallStarted),
        (0, started(1, A, AttemptReason::First)),
        (3, succeeded(1, A, 3)),
        (3, delivered(1, Saved::NotNeeded, false, 3)),
    ]
}

/// A call whose first attempt times out at "a", and which "b" saves.
pub(crate) fn failed_over() -> [(u64, Event); 8] {
    let opened =
        Event::BreakerOpened { endpoint: A, cause: OpenCause::Consecutive, open_for: ms(5000) };
    [
        (100, Event::CallStarted),
        (100, started(1, A, AttemptReason::First)),
        (1102, broke(1, A, BreakKind::ResponseTimeout, Certainty::MaybeProcessed)),
        (1102, opened),
        (1102, Event::RetryScheduled { delay: ms(30), hinted: false }),
        (1132, started(2, B, AttemptReason::Failover)),
        (1134, succeeded(2, B, 2)),
        (1134, delivered(2, Saved::ByFailover, false, 1034)),
    ]
}

/// A call that can't be tried again.
pub(crate) fn given_up() -> [(u64, Event); 6] {
    [
        (0, Event::CallStarted),
        (0, started(1, A, AttemptReason::First)),
        (1, Event::BodyUnrepeatable),
        (40, broke(1, A, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed)),
        (40, Event::RetryRefused { reason: StopReason::OutcomeUnknown }),
        (40, failed(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed, 1)),
    ]
}

/// Every event there is, as one long call tells it.
pub(crate) fn everything() -> Vec<(u64, Event)> {
    let mut all = failed_over().to_vec();
    all.extend(given_up());
    all.extend(
        [
            Event::AttemptOutrun { attempt: AttemptId(1), endpoint: A, took: ms(5) },
            Event::HedgeRefused { reason: HedgeRefusal::BudgetEmpty },
            Event::AttemptHeld { by: Held::Rate },
            Event::AttemptHeld { by: Held::Breaker },
            Event::BreakerAwaited { waited: ms(7), passed: true },
            Event::CallShed { reason: StopReason::LineFull },
            Event::CallDegraded { by: DegradedBy::Stale, status: 200 },
            Event::BodyFailed { endpoint: B, kind: BreakKind::BodyReset },
            Event::BodyResumed { attempt: AttemptId(2), endpoint: A, took: ms(3) },
            Event::AnswerHealed { breaks: 1 },
            Event::AnswerCut { kind: BreakKind::BodyReset, why: NotHealed::Unproven("weak") },
            Event::UploadResumed { attempt: AttemptId(2), endpoint: A, from: 70, took: ms(3) },
            Event::UploadNotResumed { why: NotHealed::Unproven("gone") },
            Event::TunnelEnded {
                end: TunnelEnd::UpstreamDead,
                lasted: ms(40_000),
                counts: TunnelCounts {
                    sent: 10,
                    received: 20,
                    pings: 1,
                    reopened: 1,
                    close_code: Some(1012),
                },
            },
            Event::BreakerHalfOpened { endpoint: A },
            Event::BreakerClosed { endpoint: A },
            Event::EndpointEjected {
                endpoint: B,
                cause: EjectCause::SuccessRate,
                ejected_for: ms(30_000),
            },
            Event::EndpointReturned { endpoint: B },
            Event::EndpointUnhealthy { endpoint: B, kind: BreakKind::ConnectRefused },
            Event::EndpointHealthy { endpoint: B },
            Event::EndpointThrottled { endpoint: B, until: at(9000) },
            Event::FailedOpen { endpoint: B },
            Event::AddressesChanged { endpoint: B },
            Event::AddressesKept { endpoint: B, kind: BreakKind::ResolverTimeout },
            Event::CertificateExpiring { endpoint: B, left: ms(5_000) },
        ]
        .map(|event| (2000, event)),
    );
    all
}
