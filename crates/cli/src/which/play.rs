//! One request played with the engine, once for each way in which it may break.
//!
//! The engine decides as it does in the proxy: an upstream is made of the settings, a call of the route's policy and the
//! request's facts, and it is told of the break of its first attempt. What it does next is what would happen. Around it
//! everything is well: endpoints are healthy, breakers closed, and the budget has money, except where that is what breaks.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::breaker::Forced;
use mainstay_core::breaks::grpc::{GrpcOutcome, Pushback};
use mainstay_core::breaks::safety::Verdict;
use mainstay_core::budget::Price;
use mainstay_core::call::{Connection, GaveUp};
use mainstay_core::event::{AttemptId, StopReason};
use mainstay_core::upstream::{Purpose, Report, ScopeId, Want};
use mainstay_core::{
    Action, Break, BreakKind, Call, CallFacts, CallPolicy, Certainty, Chance, Checked, Ctx,
    EndpointId, Event, Timestamp, Upstream, UpstreamSettings,
};

/// A request, as far as the engine is concerned.
pub(super) struct Played<'p> {
    pub(super) policy: &'p Arc<Checked<CallPolicy>>,
    pub(super) upstream: &'p Checked<UpstreamSettings>,
    pub(super) facts: CallFacts,
    pub(super) is_grpc: bool,
}

/// What would come of one break.
#[derive(Clone, Debug)]
pub(super) struct Foreseen {
    pub(super) kind: BreakKind,
    /// How far the request got; `None` where there was no attempt.
    pub(super) certainty: Option<Certainty>,
    /// What it is, where the kind alone doesn't say it.
    pub(super) example: Option<String>,
    /// What the retry-safety table says; `None` where it isn't asked.
    pub(super) verdict: Option<Verdict>,
    pub(super) then: Then,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Then {
    /// Another attempt.
    Again {
        /// Whether it is the first, which had to wait.
        is_first: bool,
        /// Whether it goes to another endpoint.
        elsewhere: bool,
        /// Whether it needs a new connection.
        fresh: bool,
        /// How long it is put off, and whether by the peer's hint; `None`: not at all.
        wait: Option<(Duration, bool)>,
        /// Tokens of the budget that it costs.
        tokens: u32,
    },
    /// The proxy answers.
    Answered(GaveUp),
    /// The upstream's own answer goes to the application, and why nothing more is tried.
    AsIs { status: u16, stop: Option<StopReason> },
    /// What the application is getting ends visibly incomplete.
    Cut,
    /// There is nobody left to answer.
    Dropped,
}

/// What breaks.
enum What {
    Broke(Break),
    Answered { status: u16, hint: Option<Duration> },
    Outcome(GrpcOutcome),
    Body,
    BreakersOpen,
    AllThrottled,
    BudgetEmpty,
    Deadline(Certainty),
    Gone,
}

impl Played<'_> {
    /// Every break of the closed set, in its order, at each certainty that it may have.
    pub(super) fn foreseen(&self) -> Vec<Foreseen> {
        BreakKind::ALL.into_iter().flat_map(|kind| self.of(kind)).collect()
    }

    fn of(&self, kind: BreakKind) -> Vec<Foreseen> {
        let plain = |certainty: &Certainty| {
            let what = Break::new(kind, *certainty);
            self.play(kind, Some(*certainty), None, What::Broke(what))
        };
        match kind {
            BreakKind::ServerError | BreakKind::Throttled | BreakKind::RefusedStatus => {
                self.answers(kind)
            }
            BreakKind::BodyReset | BreakKind::BodyTruncated | BreakKind::BodyStalled => {
                vec![self.play(kind, Some(Certainty::Processed), None, What::Body)]
            }
            BreakKind::BreakerOpen => {
                let example = Some("at each endpoint".to_owned());
                vec![self.play(kind, None, example, What::BreakersOpen)]
            }
            BreakKind::NoEndpoint => {
                let example = Some("each asked for a pause of 2 s".to_owned());
                vec![self.play(kind, None, example, What::AllThrottled)]
            }
            BreakKind::BudgetEmpty => {
                let example = Some("as a reset-before-head is met".to_owned());
                vec![self.play(kind, Some(Certainty::MaybeProcessed), example, What::BudgetEmpty)]
            }
            BreakKind::DeadlineExceeded => {
                let certainties = kind.certainties().iter();
                let one = |certainty: &Certainty| {
                    self.play(kind, Some(*certainty), None, What::Deadline(*certainty))
                };
                certainties.map(one).collect()
            }
            BreakKind::ClientGone => {
                let certainties = kind.certainties().iter();
                certainties
                    .map(|certainty| self.play(kind, Some(*certainty), None, What::Gone))
                    .collect()
            }
            _ => kind.certainties().iter().map(plain).collect(),
        }
    }

    /// Breaks that are answers: one of each sort, as the engine reads them.
    fn answers(&self, kind: BreakKind) -> Vec<Foreseen> {
        let failure = self.policy.failures.iter().find(|status| *status >= 500);
        let failure = failure.or_else(|| self.policy.failures.iter().next());
        let hinted = Some(HINT);
        let statuses = [(Some(429), hinted), (Some(429), None), (Some(503), hinted)]
            .into_iter()
            .chain([(Some(421), None), (Some(425), None), (failure, None)]);
        let mut all: Vec<Foreseen> = statuses
            .filter_map(|(status, hint)| {
                let status = status?;
                let what = Break::of_status(status, hint, &self.policy.failures)?;
                let example = match hint {
                    Some(hint) => format!("{status}, Retry-After: {}", hint.as_secs()),
                    None => status.to_string(),
                };
                let told = (what.kind, Some(what.certainty), Some(example));
                (what.kind == kind)
                    .then(|| self.play(told.0, told.1, told.2, What::Answered { status, hint }))
            })
            .collect();
        if self.is_grpc {
            let codes = [UNAVAILABLE, RESOURCE_EXHAUSTED].into_iter();
            let pushbacks = [Pushback::Unsaid, Pushback::Never];
            let outcomes =
                codes.flat_map(|code| pushbacks.map(|pushback| GrpcOutcome { code, pushback }));
            all.extend(outcomes.filter_map(|outcome| {
                let what = outcome.broken()?;
                let never = if outcome.forbids_retry() { ", pushback: never" } else { "" };
                let example = Some(format!("grpc-status {}{never}", outcome.code));
                let certainty = Some(what.certainty);
                (what.kind == kind)
                    .then(|| self.play(kind, certainty, example, What::Outcome(outcome)))
            }));
        }
        all
    }

    fn play(
        &self,
        kind: BreakKind,
        certainty: Option<Certainty>,
        example: Option<String>,
        what: What,
    ) -> Foreseen {
        let mut stage = Stage::new(self);
        let (verdict, then) = stage.play(what);
        Foreseen { kind, certainty, example, verdict, then }
    }
}

/// An upstream, and one call to it.
struct Stage {
    upstream: Arc<Upstream>,
    call: Call,
    scope: ScopeId,
    chance: Chance,
    now: Timestamp,
    /// The attempt that is out.
    out: Option<(AttemptId, EndpointId)>,
    /// The status of the answer that would be delivered.
    status: u16,
}

impl Stage {
    fn new(played: &Played<'_>) -> Self {
        let now = Timestamp::ZERO + WARM_UP;
        // Any seed will do: what is decided by chance isn't told.
        let mut chance = Chance::from_seed(1);
        let upstream = Upstream::new(played.upstream.clone(), now, &mut chance);
        for _ in 0..CALLS_BEFORE {
            upstream.budget().on_call(now);
        }
        let call = Call::new(Arc::clone(played.policy), played.facts, now);
        let scope = played.policy.scope;
        Self { upstream, call, scope, chance, now, out: None, status: 0 }
    }

    fn tell<T>(&mut self, news: impl FnOnce(&mut Call, &mut Ctx<'_>) -> T) -> T {
        let Self { upstream, call, chance, now, .. } = self;
        news(call, &mut Ctx { now: *now, chance, upstream })
    }

    fn play(&mut self, what: What) -> (Option<Verdict>, Then) {
        match what {
            What::BreakersOpen => {
                for endpoint in self.upstream.endpoint_ids().collect::<Vec<_>>() {
                    let _events = self.upstream.force(endpoint, Forced::Open, self.now);
                }
                return (None, self.start());
            }
            What::AllThrottled => {
                self.throttle_all();
                return (None, self.start());
            }
            What::BudgetEmpty => self.spend_budget(),
            _ => {}
        }
        let started = self.start();
        let Some((attempt, _)) = self.out else { return (None, started) };
        match what {
            What::Broke(what) => {
                let verdict = self.call.verdict(&what);
                let then = self.news(|call, ctx| call.on_break(attempt, what, ctx));
                (Some(verdict), then)
            }
            What::Answered { status, hint } => {
                let broken = self.call.broken_answer(status, hint);
                let verdict = broken.map(|what| self.call.verdict(&what));
                self.status = status;
                (verdict, self.news(|call, ctx| call.on_head(attempt, status, hint, ctx)))
            }
            What::Outcome(outcome) => {
                let verdict = outcome.broken().map(|what| self.call.verdict(&what));
                self.status = 200;
                (verdict, self.news(|call, ctx| call.on_grpc_outcome(attempt, outcome, ctx)))
            }
            What::Body => {
                let what = Break::new(BreakKind::BodyReset, Certainty::Processed);
                let verdict = self.call.verdict(&what);
                let _delivered = self.news(|call, ctx| call.on_head(attempt, 200, None, ctx));
                self.tell(|call, ctx| call.on_body_end(Some(what.kind), ctx));
                // The machine does nothing more: the answer can't be made whole any more.
                debug_assert!(self.call.is_over() && self.call.next_action().is_none());
                (Some(verdict), Then::Cut)
            }
            What::BudgetEmpty => {
                let what = Break::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
                let verdict = self.call.verdict(&what);
                let then = self.news(|call, ctx| call.on_break(attempt, what, ctx));
                (Some(verdict), then)
            }
            What::Deadline(certainty) => {
                self.now = self.call.deadline_at();
                self.tell(|call, ctx| call.on_time(ctx));
                let what = Break::new(BreakKind::ResponseTimeout, certainty);
                let verdict = self.call.verdict(&what);
                let then = self.news(|call, ctx| call.on_break(attempt, what, ctx));
                (Some(verdict), then)
            }
            What::Gone => (None, self.news(|call, ctx| call.on_cancel(ctx))),
            What::BreakersOpen | What::AllThrottled => (None, started),
        }
    }

    /// Starts the call. What comes of that, should no attempt come of it.
    fn start(&mut self) -> Then {
        let then = self.news(|call, ctx| call.on_start(ctx));
        while self.call.next_event().is_some() {}
        then
    }

    /// Tells the machine something, and what it does then.
    fn news(&mut self, news: impl FnOnce(&mut Call, &mut Ctx<'_>)) -> Then {
        let before = self.out;
        let tokens = self.upstream.budget().level(self.now).tokens;
        self.tell(news);
        let mut wait = None;
        let mut stop = None;
        // Two rounds: what it does at once, and what it does after the wait that it asks for.
        for _ in 0..2 {
            while let Some(event) = self.call.next_event() {
                match event {
                    Event::RetryScheduled { delay, hinted } => wait = Some((delay, hinted)),
                    Event::RetryRefused { reason } => stop = Some(reason),
                    _ => {}
                }
            }
            while let Some(action) = self.call.next_action() {
                match action {
                    Action::Attempt { attempt, endpoint, connection } => {
                        self.out = Some((attempt, endpoint));
                        let left = self.upstream.budget().level(self.now).tokens;
                        return Then::Again {
                            is_first: before.is_none(),
                            elsewhere: before.is_some_and(|(_, first)| first != endpoint),
                            fresh: connection == Connection::Fresh,
                            wait,
                            tokens: tokens.saturating_sub(left),
                        };
                    }
                    Action::Fail(gave_up) => return Then::Answered(gave_up),
                    Action::Deliver { .. } => return Then::AsIs { status: self.status, stop },
                    // It is alone, so there is room for it; and no body is read.
                    Action::Cancel { .. }
                    | Action::Keep { .. }
                    | Action::Line(_)
                    | Action::Commit { .. }
                    | Action::Continue { .. }
                    | Action::Cut(_) => {}
                }
            }
            let Some(deadline) = self.call.next_deadline() else { return Then::Dropped };
            self.now = deadline.at;
            self.tell(|call, ctx| call.on_time(ctx));
        }
        // It waits once more, which it does only while nobody may be asked.
        Then::Again { is_first: before.is_none(), elsewhere: false, fresh: false, wait, tokens: 0 }
    }

    /// Each endpoint has just asked to be left alone.
    fn throttle_all(&mut self) {
        let mut tried = Vec::new();
        for _ in self.upstream.endpoint_ids() {
            let purpose = Purpose::First;
            let want = Want { tried: &tried, scope: self.scope, purpose, hash: None };
            let Ok(mut pick) = self.upstream.pick(want, self.now, &mut self.chance) else { return };
            tried.push(pick.permit.endpoint());
            let report = Report::Throttled(Some(HINT));
            let _event = pick.permit.report(report, self.now, &mut self.chance);
        }
    }

    /// Other calls have spent all that there is.
    fn spend_budget(&mut self) {
        let budget = self.upstream.budget();
        while let Some(reservation) = budget.reserve(Price::Transient, self.now) {
            let _charge = reservation.charge(self.now);
        }
    }
}

/// What a peer asks for, where one asks.
const HINT: Duration = Duration::from_secs(2);

/// So that nothing is at the very beginning of time.
const WARM_UP: Duration = Duration::from_secs(60);

/// Calls that the budget has seen in its window: enough for a share of them to be extra attempts.
const CALLS_BEFORE: u32 = 1000;

const UNAVAILABLE: u8 = 14;
const RESOURCE_EXHAUSTED: u8 = 8;
