//! A call in progress: the machine, its body, and its trace. Dropping it cancels the call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use mainstay_core::call::GaveUp;
use mainstay_core::event::{AttemptId, StopReason};
use mainstay_core::heal::Proof;
use mainstay_core::heal::socket::{TunnelCounts, TunnelEnd};
use mainstay_core::{
    Action, Break, BreakKind, Call, Certainty, Ctx, EndpointId, Event, Phase, Timestamp,
};
use mainstay_record::{
    AttemptFacts, CallBrief, CallId, CallTag, CallTrace, Circumstances, ConnectionFacts, Origin,
    RequestFacts, Step, TraceContext,
};

use super::beside::{Beside, News as BesideNews};
use super::delivered::Delivery;
use super::fields::{TRACESTATE, facts, trace_context};
use super::heal::Healing;
use super::reopen::Handshake;
use super::uploading::Uploading;
use super::{Answer, Client, DeliveredBody, Held, Unanswered, grpc, is_grpc};
use crate::Clock;
use crate::alarm::Alarm;
use crate::body::{Replay, ReplayLimits, Room, Share, Source};
use crate::chance::with_chance;
use crate::pool::{Broken, Exchange};
use crate::service::{Plan, Service};
use crate::wishes::AttemptLog;

/// Everything that belongs to one call.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) call: Call,
    pub(super) head: Parts,
    pub(super) body: Replay,
    pub(super) id: CallId,
    pub(super) route: Arc<str>,
    service: Arc<Service>,
    trace: CallTrace,
    origin: Origin,
    /// Where its caller reads what its attempts do.
    log: Option<Arc<AttemptLog>>,
    pub(super) as_is: bool,
    pub(super) last_break: Option<BreakKind>,
    reuse_timers: bool,
    hold: Arc<Room>,
    /// The fields of an attempt that continues a broken answer, in place of the application's.
    pub(super) ask: Option<HeaderMap>,
    /// The upload that the body is, if its server may keep what it gets.
    pub(super) uploading: Option<Uploading>,
    /// Whether it is a gRPC call: its outcome is said by `grpc-status`.
    pub(super) is_grpc: bool,
    /// The exchange of the last attempt, until it is in the record; and how its answer's body ended.
    exchange: Option<(AttemptId, Exchange)>,
    body_end: Option<(Timestamp, Option<BreakKind>)>,
    /// The attempt beside the one that is awaited.
    pub(super) beside: Option<Beside>,
    /// The last answer, and the one that is kept for the case that nothing better comes.
    last: Option<Held>,
    kept: Option<Box<Held>>,
    put_back: Option<Action>,
}

/// How the work of an attempt ended.
#[derive(Debug)]
pub(super) enum Ended<T> {
    /// It is done.
    Done(T),
    /// Its time is over, and the machine waits to be told.
    Cut,
    /// Another attempt was faster; nobody waits for it.
    Outrun,
    /// What has come of its answer is to be delivered.
    Commit,
}

enum News<T> {
    Done(T),
    Beside(BesideNews),
    Time,
}

impl Running {
    pub(super) fn new(
        client: &Client,
        origin: Origin,
        plan: &Plan,
        head: Parts,
        body: Source,
    ) -> Self {
        let id = CallId::next(client.run);
        let is_grpc = is_grpc(&head.headers);
        let limits = ReplayLimits {
            kept_bytes: plan.replay_bytes,
            spilled_bytes: plan.spill_bytes,
            body_bytes: plan.body_bytes,
        };
        let body = Replay::new(body, limits, &client.store);
        let facts = client.wishes.added_to(facts(plan, &head, body.is_some()));
        let context = trace_context(id, client.sampling, &head.headers);
        Self {
            call: Call::new(Arc::clone(&plan.policy), facts, Clock::now()),
            body,
            head,
            id,
            route: Arc::clone(&plan.route),
            service: Arc::clone(&plan.service),
            trace: CallTrace::of(id).within(context),
            origin,
            log: client.wishes.log.clone(),
            as_is: false,
            last_break: None,
            reuse_timers: client.reuse_timers,
            hold: Arc::clone(&client.hold),
            ask: None,
            uploading: None,
            is_grpc,
            exchange: None,
            body_end: None,
            beside: None,
            last: None,
            kept: None,
            put_back: None,
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
            if let Some(log) = &self.log {
                log.hear(self.id, now, &event);
            }
            self.service.recorder().on_call_event(&mut self.trace, now, event);
        }
        self.service.lineup().on_room(upstream, now);
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

    /// Whether an answer with this status tells by `grpc-status` what came of the call.
    pub(super) fn speaks_grpc(&self, status: StatusCode) -> bool {
        self.is_grpc && status == StatusCode::OK
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
        // The other attempt's answer is on its way to the application; this one was outrun.
        if self.exchange.is_some() && !self.call.is_out(attempt) {
            self.note_outrun(attempt, exchange);
            return;
        }
        self.exchange = exchange.map(|exchange| (attempt, exchange));
    }

    /// What an attempt did until another one was faster.
    pub(super) fn note_outrun(&mut self, attempt: AttemptId, exchange: Option<Exchange>) {
        if let Some(exchange) = exchange {
            let steps = exchange.steps(Clock::now(), None);
            self.add_exchange(attempt, exchange, steps);
        }
    }

    fn add_exchange(&mut self, attempt: AttemptId, exchange: Exchange, steps: Vec<Step>) {
        let connection = exchange.connection;
        let facts = AttemptFacts { connection, steps, ..AttemptFacts::default() };
        self.trace.add_facts(attempt, facts);
    }

    /// The end of the connection that the answer's protocol went on over. It is that of the body, of which there is none.
    pub(super) fn tunnel_ended(&mut self, end: TunnelEnd, lasted: Duration, counts: TunnelCounts) {
        let event = Event::TunnelEnded { end, lasted, counts };
        self.service.recorder().on_call_event(&mut self.trace, Clock::now(), event);
        self.body_ended(end.broke());
    }

    /// The end of the delivered answer's body.
    pub(super) fn body_ended(&mut self, broke: Option<BreakKind>) {
        if broke.is_some() || self.is_wanted() {
            self.body_end = Some((Clock::now(), broke));
        }
        self.tell(|call, ctx| call.on_body_end(broke, ctx));
    }

    /// The body of the delivered answer broke. `proof`: it can be continued, or the code of what is missing for that.
    pub(super) fn body_broke(&mut self, kind: BreakKind, proof: Result<Proof, &'static str>) {
        self.note_broken_body(kind);
        self.tell(|call, ctx| call.on_body_break(kind, proof, ctx));
    }

    /// The connection that had switched protocols broke before anything was said over it.
    pub(super) fn tunnel_broke(&mut self, kind: BreakKind, within: Duration) {
        self.note_broken_body(kind);
        self.tell(|call, ctx| call.on_tunnel_break(kind, within, ctx));
    }

    /// Whether somebody will read what its attempts did.
    fn is_wanted(&self) -> bool {
        self.trace.is_broken() || self.trace.is_told()
    }

    fn note_broken_body(&mut self, kind: BreakKind) {
        if let Some((attempt, exchange)) = self.exchange.take() {
            let steps = exchange.steps_with_body(Clock::now(), Some(kind));
            self.add_exchange(attempt, exchange, steps);
        }
    }

    /// The last attempt's connection and steps, the last of which may have broken.
    fn exchanged(&mut self, broke: Option<BreakKind>) -> (Option<ConnectionFacts>, Vec<Step>) {
        match self.exchange.take() {
            Some((_, exchange)) => {
                let now = Clock::now();
                let steps = match broke {
                    Some(kind) if kind.phase() == Phase::Body => {
                        exchange.steps_with_body(now, broke)
                    }
                    Some(_) | None => exchange.steps(now, broke),
                };
                (exchange.connection, steps)
            }
            None => (None, Vec::new()),
        }
    }

    /// The attempt that was answered belongs into the record as well, if there is to be one; so does one that was out when
    /// the application left.
    fn note_answered(&mut self) {
        if let Some((attempt, exchange)) = self.exchange.take().filter(|_| self.is_wanted()) {
            let (now, broke) = self.body_end.unwrap_or_else(|| (Clock::now(), None));
            let steps = exchange.steps_with_body(now, broke);
            self.add_exchange(attempt, exchange, steps);
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

    /// Runs the `work` of an attempt until it is done, or until the machine wants no more of it.
    pub(super) async fn until_ended<T>(
        &mut self,
        plan: &Plan,
        attempt: AttemptId,
        work: impl Future<Output = T>,
    ) -> Ended<T> {
        let mut work = pin!(work);
        while let Some(deadline) = self.call.next_deadline() {
            let mut alarm = Alarm::at(Clock::instant(deadline.at), self.reuse_timers);
            let beside = &mut self.beside;
            let news = poll_fn(|cx| {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(News::Done(done));
                }
                if let Some(Poll::Ready(news)) = beside.as_mut().map(|beside| beside.poll(cx)) {
                    return Poll::Ready(News::Beside(news));
                }
                alarm.poll(cx).map(|()| News::Time)
            });
            match news.await {
                News::Done(done) => return Ended::Done(done),
                News::Beside(news) => self.heed_beside(plan, news),
                News::Time => self.time_passes(),
            }
            if let Some(ended) = self.heed(plan, attempt) {
                return ended;
            }
        }
        Ended::Cut
    }

    fn time_passes(&mut self) {
        self.tell_of_body();
        if self.body.is_whole() {
            self.call.on_body_whole();
        }
        self.tell(|call, ctx| call.on_time(ctx));
    }

    /// Tells the machine how it stands with the request's body.
    pub(super) fn tell_of_body(&mut self) {
        if !self.body.is_repeatable() {
            self.call.on_body_unrepeatable();
        } else if self.body.is_spilled() {
            self.call.on_body_spilled();
        }
        self.tell_of_upload();
        if let Some(moved_at) = self.body.moved_at() {
            self.call.on_upload(moved_at);
        }
    }

    /// Does what the machine wants while an attempt is awaited. Says how that ends, if it does.
    fn heed<T>(&mut self, plan: &Plan, awaited: AttemptId) -> Option<Ended<T>> {
        while let Some(action) = self.next_action() {
            match action {
                Action::Cancel { attempt } if attempt == awaited => {
                    let is_awaited = self.call.is_out(attempt);
                    return Some(if is_awaited { Ended::Cut } else { Ended::Outrun });
                }
                Action::Commit { attempt } if attempt == awaited => return Some(Ended::Commit),
                Action::Cancel { attempt } | Action::Commit { attempt } => self.end_beside(attempt),
                Action::Attempt { attempt, endpoint, connection } => {
                    self.start_beside(plan, (attempt, endpoint), connection);
                }
                Action::Keep { .. } => self.keep(),
                // Nothing is delivered or given up before what is awaited has been cancelled.
                Action::Deliver { .. }
                | Action::Fail(_)
                | Action::Line(_)
                | Action::Continue { .. }
                | Action::Cut(_) => {
                    debug_assert!(false, "{action:?} while an attempt is out");
                    self.put_back = Some(action);
                    return Some(Ended::Outrun);
                }
            }
        }
        None
    }

    /// What the machine wants next.
    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.put_back.take().or_else(|| self.call.next_action())
    }

    /// Holds an answer until the machine says what becomes of it.
    pub(super) fn hold(&mut self, answer: Held) {
        self.last = Some(answer);
    }

    /// Keeps the last answer for the case that nothing better comes.
    pub(super) fn keep(&mut self) {
        self.kept = self.last.take().map(Box::new);
    }

    /// The answer of an attempt: the last one, or the one that was kept.
    pub(super) fn answer_of(&mut self, attempt: AttemptId) -> Option<Held> {
        let last = self.last.take().filter(|held| held.attempt == attempt);
        last.or_else(|| self.kept.take().map(|kept| *kept))
    }

    /// A part of the memory for answers that are held back; none if there isn't so much.
    pub(super) fn hold_memory(&self, bytes: u64) -> Option<Share> {
        let mut share = self.hold.share();
        share.take(bytes).then_some(share)
    }

    pub(super) const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Hands the answer over; the call goes on with its body.
    pub(super) fn deliver(self: Box<Self>, plan: &Plan, mut held: Held) -> Answer {
        let copy = self.keep_copy(&plan.degrade, &held);
        let (id, attempts, as_is) = (self.id, self.call.attempts(), self.as_is);
        let (last_break, worst) = (self.last_break, self.call.worst());
        let awaits_outcome =
            self.speaks_grpc(held.response.status()) && grpc::early(&held.response).is_none();
        let length = held.response.body().size_hint().exact();
        let guard = plan.policy.heal.guard(plan.body_idle_timeout, length);
        let mut healing = Healing::of(plan, &self, &held.response);
        if healing.as_mut().is_ok_and(|healing| healing.events().is_some()) {
            // What is written into it isn't in that; and one that is told to be whole couldn't end as broken.
            held.response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let delivery = Delivery { healing, guard, awaits_outcome, copy };
        let switched_at = (held.response.status() == StatusCode::SWITCHING_PROTOCOLS
            && self.head.headers.contains_key(header::UPGRADE))
        .then(|| (Clock::now(), Handshake::of(plan, held.response.headers())));
        let response = held.response.map(|body| match switched_at {
            Some((at, handshake)) => DeliveredBody::tunnel(self, handshake, at),
            None => DeliveredBody::new(body, self, delivery),
        });
        let endpoint = Some(held.endpoint);
        Answer { response, id, attempts, endpoint, as_is, last_break, worst, degraded: None }
    }

    pub(super) fn unanswered(&self, gave_up: GaveUp) -> Unanswered {
        if let Some(log) = self.log.as_ref().filter(|_| gave_up.certainty == Certainty::NotSent) {
            log.give_back(self.head.clone());
        }
        Unanswered { id: self.id, gave_up, request_error: self.body.failed() }
    }

    pub(super) const fn trace(&self) -> &CallTrace {
        &self.trace
    }

    /// What spans say of the request.
    fn request_facts(&self, context: TraceContext) -> Box<RequestFacts> {
        // Thousands of calls may wait to be told: what is longer than it may be isn't kept, since part of it would be wrong.
        let text = |name, most| {
            let text = self.head.headers.get(name)?.to_str().ok()?;
            (text.len() <= most).then(|| text.to_owned())
        };
        Box::new(RequestFacts {
            origin: self.origin,
            host: text(header::HOST, HOST_MOST_BYTES),
            version: self.head.version,
            state: context.has_parent().then(|| text(TRACESTATE, STATE_MOST_BYTES)).flatten(),
            ended_at: Clock::now(),
        })
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
        let context = trace.context().copied().filter(|_| trace.is_told());
        let brief = CallBrief {
            id: self.id,
            route: &self.route,
            method: self.head.method.as_str(),
            path: self.head.uri.path(),
        };
        self.service.recorder().on_call_over_with(trace, &brief, || CallTag {
            id: self.id,
            route: Arc::clone(&self.route),
            method: self.head.method.clone(),
            path: self.head.uri.path().to_owned(),
            request: context.map(|context| self.request_facts(context)),
        });
    }
}

/// The longest name that there is, with a port.
const HOST_MOST_BYTES: usize = 261;

/// What W3C Trace Context asks everybody to be able to pass on (section 3.3.1.5).
const STATE_MOST_BYTES: usize = 512;
