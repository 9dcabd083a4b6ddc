//! A call in progress: the machine, its body, and its trace. Dropping it cancels the call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use mainstay_core::call::GaveUp;
use mainstay_core::event::{AttemptId, StopReason};
use mainstay_core::{
    Break, BreakKind, Call, CallFacts, Certainty, Ctx, EndpointId, Event, Timestamp,
};
use mainstay_record::{
    AttemptFacts, CallId, CallTag, CallTrace, Circumstances, ConnectionFacts, Step,
};

use super::{Answer, Client, DeliveredBody, Held, Unanswered, grpc, is_grpc};
use crate::Clock;
use crate::alarm::Alarm;
use crate::body::{Replay, ReplayLimits, Source};
use crate::chance::with_chance;
use crate::pool::{Broken, Exchange};
use crate::service::{Plan, Service};

/// Everything that belongs to one call.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) call: Call,
    pub(super) head: Parts,
    pub(super) body: Replay,
    id: CallId,
    route: Arc<str>,
    service: Arc<Service>,
    trace: CallTrace,
    as_is: bool,
    last_break: Option<BreakKind>,
    reuse_timers: bool,
    /// Whether it is a gRPC call: its outcome is said by `grpc-status`.
    pub(super) is_grpc: bool,
    /// The exchange of the last attempt, until it is in the record; and how its answer's body ended.
    exchange: Option<(AttemptId, Exchange)>,
    body_end: Option<(Timestamp, Option<BreakKind>)>,
}

impl Running {
    pub(super) fn new(client: &Client, plan: &Plan, head: Parts, body: Source) -> Self {
        let id = CallId::next(client.run);
        let is_grpc = is_grpc(&head.headers);
        let limits = ReplayLimits { kept_bytes: plan.replay_bytes, body_bytes: plan.body_bytes };
        Self {
            call: Call::new(Arc::clone(&plan.policy), facts(plan, &head), Clock::now()),
            body: Replay::new(body, limits, &client.replay),
            head,
            id,
            route: Arc::clone(&plan.route),
            service: Arc::clone(&plan.service),
            trace: CallTrace::of(id),
            as_is: false,
            last_break: None,
            reuse_timers: client.reuse_timers,
            is_grpc,
            exchange: None,
            body_end: None,
        }
    }

    /// Tells the machine a piece of news and records the events that it causes.
    pub(super) fn tell(&mut self, news: impl FnOnce(&mut Call, &mut Ctx<'_>)) {
        let now = Clock::now();
        let upstream = self.service.upstream();
        with_chance(|chance| news(&mut self.call, &mut Ctx { now, chance, upstream }));
        while let Some(event) = self.call.next_event() {
            match event {
                Event::AttemptFailed { what, .. } => self.last_break = Some(what.kind),
                Event::CallDelivered { as_is, .. } => self.as_is = as_is,
                _ => {}
            }
            self.service.recorder().on_call_event(&mut self.trace, now, event);
        }
    }

    /// Puts what was seen of a broken attempt into the record. It decides nothing.
    pub(super) fn note(&mut self, attempt: AttemptId, endpoint: EndpointId, broken: &mut Broken) {
        let (connection, seen) = self.exchanged(Some(broken.what.kind));
        // What was cut off by a deadline couldn't tell its steps itself.
        let told = std::mem::take(&mut broken.steps);
        let steps = if told.is_empty() { seen } else { told };
        let facts = AttemptFacts {
            connection,
            steps,
            evidence: broken.evidence.take(),
            detail: broken.details.take(),
            ..self.judged(endpoint, &broken.what)
        };
        self.trace.add_facts(attempt, facts);
    }

    /// The same for an attempt whose answer is a break.
    pub(super) fn note_answer(
        &mut self,
        attempt: AttemptId,
        endpoint: EndpointId,
        what: &Break,
        detail: Option<String>,
    ) {
        let (connection, steps) = self.exchanged(None);
        let facts = AttemptFacts { connection, steps, detail, ..self.judged(endpoint, what) };
        self.trace.add_facts(attempt, facts);
    }

    /// A stream of gRPC messages that has begun isn't begun again, unless nothing of it was sent: the application may
    /// have chosen its later messages by what became of the earlier ones.
    pub(super) fn note_stream(&mut self) {
        if self.is_grpc && self.body.is_streaming() {
            self.call.on_body_unrepeatable();
        }
    }

    /// Remembers what the attempt did. Whether anybody wants to know isn't known yet.
    pub(super) fn seen(&mut self, attempt: AttemptId, exchange: Option<Exchange>) {
        self.exchange = exchange.map(|exchange| (attempt, exchange));
    }

    /// The end of the delivered answer's body.
    pub(super) fn body_ended(&mut self, broke: Option<BreakKind>) {
        if broke.is_some() || self.trace.is_broken() {
            self.body_end = Some((Clock::now(), broke));
        }
        self.tell(|call, ctx| call.on_body_end(broke, ctx));
    }

    /// The last attempt's connection and steps, the last of which may have broken.
    fn exchanged(&mut self, broke: Option<BreakKind>) -> (Option<ConnectionFacts>, Vec<Step>) {
        match self.exchange.take() {
            Some((_, exchange)) => (exchange.connection, exchange.steps(Clock::now(), broke)),
            None => (None, Vec::new()),
        }
    }

    /// The attempt that was answered belongs into the record as well, if there is to be one; so does one that was out when
    /// the application left.
    fn note_answered(&mut self) {
        if let Some((attempt, exchange)) = self.exchange.take().filter(|_| self.trace.is_broken()) {
            let (now, broke) = self.body_end.unwrap_or_else(|| (Clock::now(), None));
            let steps = exchange.steps_with_body(now, broke);
            let connection = exchange.connection;
            self.trace
                .add_facts(attempt, AttemptFacts { connection, steps, ..AttemptFacts::default() });
        }
    }

    /// What the table says of a break, and how things stand before it is counted.
    fn judged(&self, endpoint: EndpointId, what: &Break) -> AttemptFacts {
        let (now, upstream) = (Clock::now(), self.service.upstream());
        let breaker = upstream.breaker_state(endpoint, self.call.scope(), now);
        let budget = upstream.budget().level(now);
        let circumstances = breaker.map(|breaker| Circumstances {
            breaker: breaker.code(),
            budget_tokens: budget.tokens,
            budget_extra: budget.extra,
            budget_calls: budget.calls,
        });
        let verdict = Some(self.call.verdict(what));
        AttemptFacts { verdict, circumstances, ..AttemptFacts::default() }
    }

    /// Runs `work` until it is done, or until the machine cancels the attempt (`None`).
    pub(super) async fn until_cancelled<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        while let Some(deadline) = self.call.next_deadline() {
            let mut alarm = Alarm::at(Clock::instant(deadline.at), self.reuse_timers);
            let done = poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => alarm.poll(cx).map(|()| None),
            });
            if let Some(done) = done.await {
                return Some(done);
            }
            if let Some(moved_at) = self.body.moved_at() {
                if !self.body.is_repeatable() {
                    self.call.on_body_unrepeatable();
                }
                self.call.on_upload(moved_at);
            }
            self.tell(|call, ctx| call.on_time(ctx));
        }
        None
    }

    /// Hands the answer over; the call goes on with its body.
    pub(super) fn deliver(self: Box<Self>, held: Held, idle_timeout: Duration) -> Answer {
        let (id, attempts, as_is) = (self.id, self.call.attempts(), self.as_is);
        let last_break = self.last_break;
        let awaits_outcome = self.is_grpc
            && held.response.status() == StatusCode::OK
            && grpc::outcome(held.response.headers()).is_none();
        let response =
            held.response.map(|body| DeliveredBody::new(body, self, idle_timeout, awaits_outcome));
        Answer { response, id, attempts, endpoint: held.endpoint, as_is, last_break }
    }

    pub(super) fn unanswered(&self, gave_up: GaveUp) -> Unanswered {
        Unanswered { id: self.id, gave_up, request_error: self.body.failed() }
    }

    /// The machine wants an answer delivered that isn't there: a broken invariant, answered without sending again.
    pub(super) fn lost_answer(&self) -> Unanswered {
        debug_assert!(false, "the machine delivers an answer that the driver doesn't hold");
        self.unanswered(GaveUp {
            kind: BreakKind::ResetBeforeHead,
            certainty: Certainty::MaybeProcessed,
            stop: StopReason::ReplyStarted,
            attempts: self.call.attempts(),
            retry_after: None,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.call.is_over() {
            self.body_end = Some((Clock::now(), Some(BreakKind::ClientGone)));
            self.tell(|call, ctx| call.on_cancel(ctx));
        }
        self.note_answered();
        let trace = std::mem::take(&mut self.trace);
        self.service.recorder().on_call_over_with(trace, || CallTag {
            id: self.id,
            route: Arc::clone(&self.route),
            method: self.head.method.clone(),
            path: self.head.uri.path().to_owned(),
        });
    }
}

/// What the request says about itself.
fn facts(plan: &Plan, head: &Parts) -> CallFacts {
    let has_key = || plan.idempotency_headers.iter().any(|name| head.headers.contains_key(name));
    let method = head.method.as_str();
    let plain = CallFacts::of(method, false, &plan.policy);
    let facts = if plain.repetition.is_idempotent() {
        plain
    } else {
        CallFacts::of(method, has_key(), &plan.policy)
    };
    match plan.hash_header.as_ref().and_then(|name| head.headers.get(name)) {
        Some(value) => facts.with_hash(fnv1a(value.as_bytes())),
        None => facts,
    }
}

/// FNV-1a, 64 bits: the same on every machine, so that instances agree where a key belongs.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
