//! Runs core's [`Call`] over attempts that somebody else makes: a closure's futures, a tower service's answers.
//!
//! The same machine and the same rules as for calls of [`crate::driver`]; what differs is that nothing is known of connections here,
//! so that an attempt that is stopped may have been carried out.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use mainstay_core::breaks::grpc::GrpcOutcome;
use mainstay_core::call::GaveUp;
use mainstay_core::event::{AttemptId, StopReason};
use mainstay_core::line::Entry;
use mainstay_core::{
    Action, Break, BreakKind, Call, CallFacts, Certainty, Ctx, EndpointId, Timestamp,
};
use mainstay_record::{AttemptFacts, CallBrief, CallId, CallTag, CallTrace};
use tokio::time::sleep_until;

use crate::Clock;
use crate::body::Replay;
use crate::chance::{seed, with_chance};
use crate::service::{Plan, Service};
use crate::wishes::{AttemptLog, Wishes};

/// A call in progress. Dropping it cancels the call; permit, reservation and place in line are given back.
#[derive(Debug)]
pub(crate) struct Drive {
    call: Call,
    service: Arc<Service>,
    trace: CallTrace,
    log: Arc<AttemptLog>,
    body: Replay,
    id: CallId,
    route: Arc<str>,
    method: http::Method,
    path: String,
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Landed<T, E> {
    /// An answer.
    Answer {
        value: T,
        status: u16,
        retry_after: Option<std::time::Duration>,
        grpc: Option<GrpcOutcome>,
    },
    /// It broke; with the error, and what it said.
    Broke { error: E, what: Break, details: Option<String> },
}

/// What an attempt is told of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) attempt: AttemptId,
    pub(crate) endpoint: EndpointId,
    /// How much time there is for it.
    pub(crate) time_left: std::time::Duration,
}

/// What a script says of an attempt that somebody else makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged {
    pub(crate) after: std::time::Duration,
    /// What takes its place, if anything does.
    pub(crate) breaks: Option<Result<Break, Forever>>,
}

/// Nothing, ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forever;

impl Staged {
    /// Makes the attempt when it is time, or lets it break.
    pub(crate) async fn play<T, E>(
        self,
        attempt: Option<impl Future<Output = Landed<T, E>>>,
        broken: impl FnOnce() -> E,
    ) -> Landed<T, E> {
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        match (self.breaks, attempt) {
            (None, Some(attempt)) => attempt.await,
            (Some(Ok(what)), _) => Landed::Broke { error: broken(), what, details: None },
            (Some(Err(Forever)), _) | (None, None) => std::future::pending().await,
        }
    }

    /// Nothing is staged.
    pub(crate) const fn nothing() -> Self {
        Self { after: std::time::Duration::ZERO, breaks: None }
    }
}

/// A call without an answer, with the last error, if an attempt brought one.
#[derive(Debug)]
pub(crate) struct Failed<E> {
    pub(crate) gave_up: GaveUp,
    pub(crate) error: Option<E>,
}

struct Out<F> {
    attempt: AttemptId,
    work: Pin<Box<F>>,
}

impl Drive {
    /// A call that is about to begin.
    pub(crate) fn new(
        plan: &Plan,
        facts: CallFacts,
        wishes: &Wishes,
        body: Replay,
        (method, path): (http::Method, String),
    ) -> Self {
        let id = CallId::next(*RUN);
        Self {
            call: Call::new(Arc::clone(&plan.policy), wishes.added_to(facts), Clock::now()),
            service: Arc::clone(&plan.service),
            trace: CallTrace::of(id),
            log: wishes.log.clone().unwrap_or_default(),
            body,
            id,
            route: Arc::clone(&plan.route),
            method,
            path,
        }
    }

    pub(crate) const fn id(&self) -> CallId {
        self.id
    }

    pub(crate) const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    #[cfg(feature = "testing")]
    pub(crate) const fn attempts(&self) -> u16 {
        self.call.attempts()
    }

    #[cfg(any(feature = "testing", feature = "tower"))]
    pub(crate) const fn body(&self) -> &Replay {
        &self.body
    }

    /// Runs it until there is an answer, which is then being delivered: [`Drive::end`] ends it. `start` makes an attempt.
    pub(crate) async fn run<T, E, F>(
        &mut self,
        mut start: impl FnMut(&Self, Start) -> F,
    ) -> Result<T, Failed<E>>
    where
        F: Future<Output = Landed<T, E>>,
    {
        // At most two are out: an attempt, and its hedge.
        let mut out: Vec<Out<F>> = Vec::with_capacity(1);
        let (mut last, mut kept, mut error) = (None, None, None);
        self.tell(|call, ctx| call.on_start(ctx));
        loop {
            while let Some(action) = self.call.next_action() {
                match action {
                    Action::Attempt { attempt, endpoint, .. } => {
                        let upstream = self.service.upstream();
                        let time_left = self.call.time_left(endpoint, upstream, Clock::now());
                        let work = start(self, Start { attempt, endpoint, time_left });
                        out.push(Out { attempt, work: Box::pin(work) });
                    }
                    Action::Line(entry) => self.line_up(entry).await,
                    Action::Keep { .. } => kept = last.take(),
                    Action::Deliver { attempt } => {
                        let held = last.take().filter(|(of, _)| *of == attempt).or(kept.take());
                        return match held {
                            Some((_, value)) => Ok(value),
                            None => Err(Failed { gave_up: self.lost(), error }),
                        };
                    }
                    Action::Fail(gave_up) => return Err(Failed { gave_up, error }),
                    Action::Cancel { attempt } => self.cancel(attempt, &mut out),
                    // No head is held back here, and no body continued.
                    action @ (Action::Commit { .. } | Action::Continue { .. } | Action::Cut(_)) => {
                        debug_assert!(false, "{action:?} of a call that holds nothing back");
                    }
                }
            }
            let deadline = self.call.next_deadline().map(|deadline| deadline.at);
            if deadline.is_none() && out.is_empty() {
                debug_assert!(false, "a call without action or deadline would wait for ever");
                return Err(Failed { gave_up: self.lost(), error });
            }
            match news(&mut out, deadline).await {
                None => self.time_passes(),
                Some((attempt, Landed::Answer { value, status, retry_after, grpc })) => {
                    last = Some((attempt, value));
                    self.tell_of_body();
                    match grpc {
                        Some(grpc) => {
                            self.tell(|call, ctx| call.on_grpc_outcome(attempt, grpc, ctx));
                        }
                        None => {
                            self.tell(|call, ctx| call.on_head(attempt, status, retry_after, ctx));
                        }
                    }
                }
                Some((attempt, Landed::Broke { error: said, what, details })) => {
                    error = Some(said);
                    self.tell_of_body();
                    let verdict = Some(self.call.verdict(&what));
                    let facts =
                        AttemptFacts { verdict, detail: details, ..AttemptFacts::default() };
                    self.trace.add_facts(attempt, facts);
                    self.tell(|call, ctx| call.on_break(attempt, what, ctx));
                }
            }
        }
    }

    /// What was delivered has ended: whole, or broken in this way.
    pub(crate) fn end(&mut self, broke: Option<BreakKind>) {
        match broke {
            // Nothing is known here of what would continue it.
            Some(kind) => self.tell(|call, ctx| call.on_body_break(kind, Err(NOT_OURS), ctx)),
            None => self.tell(|call, ctx| call.on_body_end(None, ctx)),
        }
    }

    /// Tells the machine a piece of news and records the events that it causes.
    fn tell(&mut self, news: impl FnOnce(&mut Call, &mut Ctx<'_>)) {
        let now = Clock::now();
        let upstream = self.service.upstream();
        with_chance(|chance| news(&mut self.call, &mut Ctx { now, chance, upstream }));
        while let Some(event) = self.call.next_event() {
            self.log.hear(self.id, now, &event);
            self.service.recorder().on_call_event(&mut self.trace, now, event);
        }
        self.service.lineup().on_room(upstream, now);
    }

    fn tell_of_body(&mut self) {
        if !self.body.is_repeatable() {
            self.call.on_body_unrepeatable();
        }
        if let Some(moved_at) = self.body.moved_at() {
            self.call.on_upload(moved_at);
        }
    }

    fn time_passes(&mut self) {
        self.tell_of_body();
        if self.body.is_whole() {
            self.call.on_body_whole();
        }
        self.tell(|call, ctx| call.on_time(ctx));
    }

    /// Stops an attempt. How far it got is known to nobody.
    fn cancel<F>(&mut self, attempt: AttemptId, out: &mut Vec<Out<F>>) {
        out.retain(|it| it.attempt != attempt);
        if self.call.is_out(attempt) {
            let what = Break::new(BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
            self.tell_of_body();
            self.tell(|call, ctx| call.on_break(attempt, what, ctx));
        }
    }

    async fn line_up(&mut self, entry: Entry) {
        let service = Arc::clone(&self.service);
        match service.lineup().seat(service.upstream(), entry, Clock::now()).await {
            Ok(seat) => self.tell(|call, ctx| call.on_turn(seat, ctx)),
            Err(why) => self.tell(|call, ctx| call.on_turned_away(why, ctx)),
        }
    }

    /// A broken invariant, answered without sending again.
    fn lost(&self) -> GaveUp {
        GaveUp {
            kind: BreakKind::ResetBeforeHead,
            certainty: Certainty::MaybeProcessed,
            stop: StopReason::ReplyStarted,
            attempts: self.call.attempts(),
            retry_after: None,
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if !self.call.is_over() {
            self.tell(|call, ctx| call.on_cancel(ctx));
        }
        let trace = std::mem::take(&mut self.trace);
        let tag = || CallTag {
            id: self.id,
            route: Arc::clone(&self.route),
            method: self.method.clone(),
            path: self.path.clone(),
            request: None,
        };
        let brief = CallBrief {
            id: self.id,
            route: &self.route,
            method: self.method.as_str(),
            path: &self.path,
        };
        self.service.recorder().on_call_over_with(trace, &brief, tag);
    }
}

/// The first of those that are out to land; `None` when it is time.
async fn news<F: Future>(
    out: &mut Vec<Out<F>>,
    deadline: Option<Timestamp>,
) -> Option<(AttemptId, F::Output)> {
    let late = deadline.map(|at| sleep_until(Clock::instant(at)));
    let mut late = pin!(late);
    poll_fn(|cx| {
        for place in 0..out.len() {
            if let Poll::Ready(landed) = out[place].work.as_mut().poll(cx) {
                let attempt = out.remove(place).attempt;
                return Poll::Ready(Some((attempt, landed)));
            }
        }
        match late.as_mut().as_pin_mut() {
            Some(late) => late.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// The run's part of the calls' ids.
static RUN: std::sync::LazyLock<u64> = std::sync::LazyLock::new(seed);

/// What is missing to a continuation of an answer that isn't ours.
const NOT_OURS: &str = "not-ours";
