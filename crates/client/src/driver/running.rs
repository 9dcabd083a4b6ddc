//! A call in progress: the machine, its body, and its trace. Dropping it cancels the call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use mainstay_core::call::GaveUp;
use mainstay_core::event::{AttemptId, StopReason};
use mainstay_core::{Break, BreakKind, Call, CallFacts, Certainty, Ctx, EndpointId, Event};
use mainstay_record::{AttemptFacts, CallId, CallTag, CallTrace, Circumstances};

use super::{Answer, Client, DeliveredBody, Held, Unanswered};
use crate::Clock;
use crate::alarm::Alarm;
use crate::body::{Replay, ReplayLimits, Source};
use crate::chance::with_chance;
use crate::pool::Broken;
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
}

impl Running {
    pub(super) fn new(client: &Client, plan: &Plan, head: Parts, body: Source) -> Self {
        let id = CallId::next(client.run);
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
        let facts = AttemptFacts {
            steps: std::mem::take(&mut broken.steps),
            evidence: broken.evidence.take(),
            detail: broken.details.take(),
            ..self.judged(endpoint, &broken.what)
        };
        self.trace.add_facts(attempt, facts);
    }

    /// The same for an attempt whose answer is a break.
    pub(super) fn note_answer(&mut self, attempt: AttemptId, endpoint: EndpointId, what: &Break) {
        let facts = self.judged(endpoint, what);
        self.trace.add_facts(attempt, facts);
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
        let response = held.response.map(|body| DeliveredBody::new(body, self, idle_timeout));
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
            self.tell(|call, ctx| call.on_cancel(ctx));
        }
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
