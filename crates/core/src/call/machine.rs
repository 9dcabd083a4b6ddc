//! The machine itself: news in, actions and events out.

use alloc::sync::Arc;
use core::time::Duration;

use crate::breaks::grpc::GrpcOutcome;
use crate::breaks::safety::{Repetition, Verdict, situation, verdict};
use crate::breaks::{Break, BreakKind, Certainty};
use crate::budget::{Charge, Price, Reservation};
use crate::check::Checked;
use crate::event::{AttemptId, AttemptReason, Event, Saved, StopReason};
use crate::queue::Queue;
use crate::retry::backoff;
use crate::time::Timestamp;
use crate::upstream::{EndpointId, NoPick, Permit, Pick, Report, ScopeId, Want};

use super::{
    Action, Attempts, CallFacts, CallPolicy, Connection, Ctx, Deadline, DeadlineReason, Deadlines,
    GaveUp, Tried,
};

/// One call, from `on_start` until its body has been delivered or it was given up.
///
/// News: [`on_start`](Self::on_start), [`on_upload`](Self::on_upload),
/// [`on_body_unrepeatable`](Self::on_body_unrepeatable), [`on_break`](Self::on_break), [`on_head`](Self::on_head),
/// [`on_grpc_outcome`](Self::on_grpc_outcome), [`on_body_end`](Self::on_body_end), [`on_time`](Self::on_time), [`on_cancel`](Self::on_cancel).
/// Answers, to be drained after each: [`next_action`](Self::next_action), [`next_event`](Self::next_event),
/// [`next_deadline`](Self::next_deadline).
///
/// Dropping a call frees its permit and gives a waiting reservation back.
#[derive(Debug)]
pub struct Call {
    policy: Arc<Checked<CallPolicy>>,
    facts: CallFacts,
    started_at: Timestamp,
    deadlines: Deadlines,
    attempts: Attempts,
    tried: Tried,
    state: State,
    kept: Option<Kept>,
    worst: Certainty,
    repeatable: bool,
    actions: Queue<Action, 2>,
    events: Queue<Event, 8>,
}

/// Where a call stands.
#[derive(Debug)]
enum State {
    New,
    Trying(Trying),
    Waiting(Waiting),
    Delivered { permit: Option<Permit> },
    Over,
}

/// An attempt is out.
#[derive(Debug)]
struct Trying {
    attempt: AttemptId,
    reason: AttemptReason,
    permit: Permit,
    charge: Option<Charge>,
    connection: Connection,
    started_at: Timestamp,
    cancelled: Option<DeadlineReason>,
}

impl Trying {
    /// The endpoint, if the break is that of a kept connection that had come to its end: the peer had closed it before it got the
    /// request, or was closing it and says so. On a fresh connection the same would be the endpoint's doing.
    fn dead_connection(&self, what: &Break) -> Option<EndpointId> {
        let ended = matches!(
            (what.kind, what.certainty),
            (BreakKind::ClosedWhileIdle, Certainty::NotSent)
                | (BreakKind::GoAway, Certainty::NotSent | Certainty::Refused)
        );
        (ended && self.connection == Connection::Any).then(|| self.permit.endpoint())
    }
}

/// The next attempt starts at a time.
#[derive(Debug)]
struct Waiting {
    until: Timestamp,
    /// What pays for it; nothing does while the first attempt waits for a throttled endpoint.
    reservation: Option<Reservation>,
    last: BreakKind,
}

/// An answer that is a break, kept for the case that nothing better comes.
#[derive(Clone, Copy, Debug)]
struct Kept {
    attempt: AttemptId,
    status: u16,
}

/// What pays for an attempt.
#[derive(Debug)]
enum Means {
    /// The first attempt, and a repeat of what was never sent, cost nothing.
    Free,
    /// Tokens that were set aside.
    Reserved(Reservation),
}

impl Call {
    /// A call under `policy` that starts at `now`.
    #[must_use]
    pub fn new(policy: Arc<Checked<CallPolicy>>, facts: CallFacts, now: Timestamp) -> Self {
        Self {
            started_at: now,
            deadlines: Deadlines::new(now, policy.total_timeout, policy.attempt_timeout),
            policy,
            facts,
            attempts: Attempts::default(),
            tried: Tried::default(),
            state: State::New,
            kept: None,
            worst: Certainty::NotSent,
            repeatable: true,
            actions: Queue::new(),
            events: Queue::new(),
        }
    }

    // ---- news -------------------------------------------------------------------------------------------------

    /// The call begins.
    pub fn on_start(&mut self, ctx: &mut Ctx<'_>) {
        debug_assert!(matches!(self.state, State::New), "a call starts once");
        self.events.push(Event::CallStarted);
        ctx.upstream.budget().on_call(ctx.now);
        self.attempt(Means::Free, BreakKind::NoEndpoint, ctx);
    }

    /// The request's body last moved at `moved_at`. Tell it before [`Call::on_time`].
    pub fn on_upload(&mut self, moved_at: Timestamp) {
        self.deadlines.on_upload(moved_at, self.repeatable);
    }

    /// The request's body can't be sent a second time: too large to keep, or broken at its source.
    pub fn on_body_unrepeatable(&mut self) {
        if self.repeatable {
            self.repeatable = false;
            self.events.push(Event::BodyUnrepeatable);
        }
    }

    /// An attempt broke.
    pub fn on_break(&mut self, attempt: AttemptId, what: Break, ctx: &mut Ctx<'_>) {
        if let Some(trying) = self.take_trying(attempt) {
            let dead = trying.dead_connection(&what);
            drop(self.close_attempt(trying, what, ctx));
            self.decide(what, dead, None, ctx);
        }
    }

    /// The head of an answer arrived. `retry_after`: its hint, if it has one.
    pub fn on_head(
        &mut self,
        attempt: AttemptId,
        status: u16,
        retry_after: Option<Duration>,
        ctx: &mut Ctx<'_>,
    ) {
        let broken = self.broken_answer(status, retry_after);
        self.take_head(attempt, status, broken, false, ctx);
    }

    /// The head of an answer arrived that is the whole outcome of a gRPC call (Trailers-Only).
    pub fn on_grpc_outcome(&mut self, attempt: AttemptId, outcome: GrpcOutcome, ctx: &mut Ctx<'_>) {
        self.take_head(attempt, 200, outcome.broken(), outcome.forbids_retry(), ctx);
    }

    fn take_head(
        &mut self,
        attempt: AttemptId,
        status: u16,
        broken: Option<Break>,
        forbids_retry: bool,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(trying) = self.take_trying(attempt) else { return };
        match broken {
            None => self.deliver_success(trying, status, ctx),
            Some(what) => {
                let permit = self.close_attempt(trying, what, ctx);
                let answer = Some((Kept { attempt, status }, permit));
                if forbids_retry {
                    return self.stop(what.kind, StopReason::PushedBack, None, answer, ctx);
                }
                self.decide(what, None, answer, ctx);
            }
        }
    }

    /// The body of the delivered answer ended: whole, or by a break. The outcome that a gRPC call's trailers tell counts as
    /// one.
    pub fn on_body_end(&mut self, broke: Option<BreakKind>, ctx: &mut Ctx<'_>) {
        let State::Delivered { permit } = &mut self.state else { return };
        if let (Some(kind), Some(permit)) = (broke, permit.take()) {
            let endpoint = permit.endpoint();
            self.events.push(Event::BodyFailed { endpoint, kind });
            // The outcome of a gRPC call may come here too: one that is throttled says nothing against its endpoint.
            if kind.blames_endpoint()
                && kind != BreakKind::Throttled
                && let Some(event) =
                    ctx.upstream.note_body_failure(endpoint, self.policy.scope, ctx.now, ctx.chance)
            {
                self.events.push(event);
            }
        }
        self.state = State::Over;
    }

    /// Time has passed.
    pub fn on_time(&mut self, ctx: &mut Ctx<'_>) {
        match &mut self.state {
            State::Trying(trying) => {
                let next = self.deadlines.next();
                if trying.cancelled.is_none() && ctx.now >= next.at {
                    trying.cancelled = Some(next.why);
                    self.actions.push(Action::Cancel { attempt: trying.attempt });
                }
            }
            State::Waiting(waiting) if ctx.now >= waiting.until => self.end_wait(ctx),
            State::New | State::Waiting(_) | State::Delivered { .. } | State::Over => {}
        }
    }

    /// The application went away.
    pub fn on_cancel(&mut self, ctx: &mut Ctx<'_>) {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Trying(trying) => {
                self.actions.push(Action::Cancel { attempt: trying.attempt });
                self.worst = worse(self.worst, Certainty::MaybeProcessed);
                self.note_failure(BreakKind::ClientGone, ctx);
            }
            State::New | State::Waiting(_) => self.note_failure(BreakKind::ClientGone, ctx),
            State::Delivered { permit } => {
                if let Some(permit) = permit {
                    self.events.push(Event::BodyFailed {
                        endpoint: permit.endpoint(),
                        kind: BreakKind::ClientGone,
                    });
                }
            }
            State::Over => {}
        }
    }

    // ---- answers ----------------------------------------------------------------------------------------------

    /// What to do next; `None` when there is nothing.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// What to record next; `None` when there is nothing.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When to come back with [`Call::on_time`], and why; `None` when only other news can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Trying(Trying { cancelled: None, .. }) => Some(self.deadlines.next()),
            State::Waiting(waiting) => {
                Some(Deadline { at: waiting.until, why: DeadlineReason::Backoff })
            }
            State::New | State::Trying(_) | State::Delivered { .. } | State::Over => None,
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// How many attempts were made.
    #[must_use]
    pub const fn attempts(&self) -> u8 {
        self.attempts.made()
    }

    /// When the call's deadline is.
    #[must_use]
    pub const fn deadline_at(&self) -> Timestamp {
        self.deadlines.call_at()
    }

    // ---- starting an attempt ----------------------------------------------------------------------------------

    /// Picks an endpoint and starts an attempt there. `last`: what the application is told if there is none.
    fn attempt(&mut self, means: Means, last: BreakKind, ctx: &mut Ctx<'_>) {
        let want = Want {
            tried: self.tried.list(),
            scope: self.policy.scope,
            extra: self.attempts.made() > 0,
            hash: self.facts.hash,
        };
        match ctx.upstream.pick(want, ctx.now, ctx.chance) {
            Ok(pick) => self.start(pick, means, Connection::Any, ctx),
            Err(refused) => self.nothing_to_pick(refused, means, last, ctx),
        }
    }

    fn start(&mut self, pick: Pick, means: Means, connection: Connection, ctx: &mut Ctx<'_>) {
        let endpoint = pick.permit.endpoint();
        let reason = match (self.attempts.made(), self.tried.contains(endpoint)) {
            (0, _) => AttemptReason::First,
            (_, true) => AttemptReason::Retry,
            (_, false) => AttemptReason::Failover,
        };
        let attempt = self.attempts.start();
        self.tried.add(endpoint);
        self.deadlines.on_attempt(ctx.now);
        if let Some(event) = pick.event {
            self.events.push(event);
        }
        if pick.failed_open {
            self.events.push(Event::FailedOpen { endpoint });
        }
        self.events.push(Event::AttemptStarted { attempt, endpoint, reason });
        self.actions.push(Action::Attempt { attempt, endpoint, connection });
        let charge = match means {
            Means::Free => None,
            Means::Reserved(reservation) => Some(reservation.charge(ctx.now)),
        };
        self.state = State::Trying(Trying {
            attempt,
            reason,
            permit: pick.permit,
            charge,
            connection,
            started_at: ctx.now,
            cancelled: None,
        });
    }

    /// Nothing can be asked now. Where it is known that this ends soon, because endpoints asked for a pause, the
    /// call waits for that; an open breaker is not waited for, or its probes would meet a crowd.
    fn nothing_to_pick(
        &mut self,
        refused: NoPick,
        means: Means,
        last: BreakKind,
        ctx: &mut Ctx<'_>,
    ) {
        let pause = refused.until.filter(|_| refused.kind == BreakKind::NoEndpoint);
        if let Some(until) = pause {
            let delay = backoff::wait_after_hint(until.since(ctx.now), Duration::ZERO, ctx.chance);
            if ctx.now + delay < self.deadlines.call_at() {
                let reservation = match means {
                    Means::Free => None,
                    Means::Reserved(reservation) => Some(reservation),
                };
                self.wait(delay, true, reservation, last, ctx.now);
                return;
            }
        }
        let kind = if self.attempts.made() == 0 { refused.kind } else { last };
        let retry_after = refused.until.map(|until| until.since(ctx.now));
        let stop = match refused.kind {
            BreakKind::BreakerOpen => StopReason::BreakerOpen,
            _ => StopReason::NoEndpoint,
        };
        self.stop(kind, stop, retry_after, None, ctx);
    }

    fn wait(
        &mut self,
        delay: Duration,
        hinted: bool,
        reservation: Option<Reservation>,
        last: BreakKind,
        now: Timestamp,
    ) {
        self.events.push(Event::RetryScheduled { delay, hinted });
        self.state = State::Waiting(Waiting { until: now + delay, reservation, last });
    }

    fn end_wait(&mut self, ctx: &mut Ctx<'_>) {
        let State::Waiting(waiting) = core::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        if ctx.now >= self.deadlines.call_at() {
            self.stop(waiting.last, StopReason::DeadlinePassed, None, None, ctx);
            return;
        }
        let means = waiting.reservation.map_or(Means::Free, Means::Reserved);
        self.attempt(means, waiting.last, ctx);
    }

    // ---- after an attempt -------------------------------------------------------------------------------------

    /// The attempt that the news is about, if it is the one that is out. Late news finds nothing.
    fn take_trying(&mut self, attempt: AttemptId) -> Option<Trying> {
        match &self.state {
            State::Trying(trying) if trying.attempt == attempt => {}
            _ => return None,
        }
        match core::mem::replace(&mut self.state, State::Over) {
            State::Trying(trying) => Some(trying),
            State::New | State::Waiting(_) | State::Delivered { .. } | State::Over => None,
        }
    }

    /// Books a broken attempt: event, endpoint, certainty. Gives the permit back, still in flight.
    fn close_attempt(&mut self, trying: Trying, what: Break, ctx: &mut Ctx<'_>) -> Permit {
        let dead = trying.dead_connection(&what).is_some();
        let Trying { attempt, mut permit, started_at, cancelled, .. } = trying;
        let took = ctx.now.since(started_at);
        self.events.push(Event::AttemptFailed { attempt, endpoint: permit.endpoint(), what, took });
        self.worst = worse(self.worst, what.certainty);
        let report = match what.kind {
            BreakKind::Throttled => Report::Throttled(what.retry_after),
            BreakKind::RefusedStatus => Report::NoNews,
            // Connections end; how the endpoint is, the fresh one will tell.
            // The same where the request may have got there: a pool's connections reach the peer's idle limit together, and
            // would open a breaker in front of a server that is well.
            BreakKind::ClosedWhileIdle => Report::NoNews,
            _ if dead => Report::NoNews,
            // The call's deadline cut a later attempt short: it may have been about to succeed.
            _ if cancelled == Some(DeadlineReason::Call) && attempt.0 > 1 => Report::NoNews,
            kind if kind.blames_endpoint() => Report::Broke,
            _ => Report::NoNews,
        };
        if let Some(event) = permit.report(report, ctx.now, ctx.chance) {
            self.events.push(event);
        }
        permit
    }

    fn deliver_success(&mut self, trying: Trying, status: u16, ctx: &mut Ctx<'_>) {
        let Trying { attempt, reason, mut permit, charge, started_at, .. } = trying;
        let took = ctx.now.since(started_at);
        self.events.push(Event::AttemptSucceeded {
            attempt,
            endpoint: permit.endpoint(),
            status,
            took,
        });
        if let Some(event) = permit.report(Report::Answered(took), ctx.now, ctx.chance) {
            self.events.push(event);
        }
        match charge {
            Some(charge) => charge.refund(),
            None if attempt.0 == 1 => ctx.upstream.budget().on_first_try_success(),
            None => {}
        }
        let saved = match reason {
            AttemptReason::First => Saved::NotNeeded,
            AttemptReason::Retry => Saved::ByRetry,
            AttemptReason::Failover => Saved::ByFailover,
        };
        self.deliver(Kept { attempt, status }, saved, false, Some(permit), ctx.now);
    }

    /// The table's verdict, then what the means allow. `dead`: where a kept connection turned out to have ended. `answer`: the
    /// broken answer, if the break is one.
    fn decide(
        &mut self,
        what: Break,
        dead: Option<EndpointId>,
        answer: Option<(Kept, Permit)>,
        ctx: &mut Ctx<'_>,
    ) {
        let (price, hint) = match self.verdict(&what) {
            Verdict::OutcomeUnknown => {
                return self.stop(what.kind, StopReason::OutcomeUnknown, None, answer, ctx);
            }
            Verdict::TurnedAway => {
                return self.stop(
                    what.kind,
                    StopReason::NotDeclared,
                    what.retry_after,
                    answer,
                    ctx,
                );
            }
            Verdict::Resume | Verdict::FailLoudly => {
                return self.stop(what.kind, StopReason::ReplyStarted, None, answer, ctx);
            }
            _ if !self.repeatable => {
                return self.stop(what.kind, StopReason::Unrepeatable, None, answer, ctx);
            }
            verdict @ (Verdict::AgainFree | Verdict::Again) => {
                if (verdict == Verdict::AgainFree || dead.is_some())
                    && ctx.now < self.deadlines.call_at()
                    && self.move_on(dead, ctx)
                {
                    return;
                }
                (Price::Transient, None)
            }
            Verdict::Retry => (Price::Transient, None),
            Verdict::RetryAfterHint => (Price::Throttled, what.retry_after),
        };
        self.schedule(what, price, hint, answer, ctx);
    }

    /// Sends again what never reached the endpoint: over a fresh connection where a kept one was dead, else at an endpoint that
    /// wasn't tried. Not a retry, so neither waited nor paid for. False when there is no such place.
    fn move_on(&mut self, dead: Option<EndpointId>, ctx: &mut Ctx<'_>) -> bool {
        if !self.attempts.take_free() {
            return false;
        }
        let (picked, connection) = match dead {
            Some(endpoint) => {
                let again = ctx.upstream.pick_again(endpoint, self.policy.scope, ctx.now);
                (again, Connection::Fresh)
            }
            None => {
                let want = Want {
                    tried: self.tried.list(),
                    scope: self.policy.scope,
                    extra: true,
                    hash: self.facts.hash,
                };
                (ctx.upstream.pick(want, ctx.now, ctx.chance), Connection::Any)
            }
        };
        match picked {
            Ok(pick)
                if connection == Connection::Fresh
                    || !self.tried.contains(pick.permit.endpoint()) =>
            {
                self.start(pick, Means::Free, connection, ctx);
                true
            }
            Ok(_) | Err(_) => {
                self.attempts.return_free();
                false
            }
        }
    }

    /// Puts the next attempt off by backoff or hint, if attempts, deadline and budget allow one.
    fn schedule(
        &mut self,
        what: Break,
        price: Price,
        hint: Option<Duration>,
        answer: Option<(Kept, Permit)>,
        ctx: &mut Ctx<'_>,
    ) {
        let settings = &self.policy.retry;
        if self.attempts.used_up(settings) {
            return self.stop(what.kind, StopReason::AttemptsUsed, hint, answer, ctx);
        }
        // A 503's hint holds its own endpoint only, and the pick goes elsewhere while there is an elsewhere; a 429
        // is about us, so the call itself waits.
        let is_about_us = what.status == Some(429) || what.grpc == Some(8);
        let hint_holds = is_about_us || ctx.upstream.settings().endpoints.len() == 1;
        let own =
            self.attempts.wait(settings, price == Price::Throttled && hint.is_none(), ctx.chance);
        let (delay, hinted) = match hint {
            Some(hint) if hint_holds => (backoff::wait_after_hint(hint, own, ctx.chance), true),
            Some(_) | None => (own, false),
        };
        if ctx.now + delay >= self.deadlines.call_at() {
            let stop = if ctx.now >= self.deadlines.call_at() {
                StopReason::DeadlinePassed
            } else {
                StopReason::DeadlineTooClose
            };
            return self.stop(what.kind, stop, hint, answer, ctx);
        }
        let Some(reservation) = ctx.upstream.budget().reserve(price, ctx.now) else {
            return self.stop(what.kind, StopReason::BudgetEmpty, hint, answer, ctx);
        };
        if let Some((kept, _)) = answer {
            self.kept = Some(kept);
            self.actions.push(Action::Keep { attempt: kept.attempt });
        }
        self.wait(delay, hinted, Some(reservation), what.kind, ctx.now);
    }

    // ---- the end ----------------------------------------------------------------------------------------------

    /// No more attempts: deliver the last real answer if there is one, else give up.
    fn stop(
        &mut self,
        kind: BreakKind,
        stop: StopReason,
        retry_after: Option<Duration>,
        answer: Option<(Kept, Permit)>,
        ctx: &mut Ctx<'_>,
    ) {
        if self.attempts.made() > 0 {
            self.events.push(Event::RetryRefused { reason: stop });
        }
        let (kept, permit) = match (answer, self.kept) {
            (Some((kept, permit)), _) => (Some(kept), Some(permit)),
            (None, kept) => (kept, None),
        };
        if let Some(kept) = kept {
            return self.deliver(kept, Saved::NotNeeded, true, permit, ctx.now);
        }
        let kind =
            if stop == StopReason::DeadlinePassed { BreakKind::DeadlineExceeded } else { kind };
        self.note_failure(kind, ctx);
        self.actions.push(Action::Fail(GaveUp {
            kind,
            certainty: self.worst,
            stop,
            attempts: self.attempts.made(),
            retry_after,
        }));
        self.state = State::Over;
    }

    fn deliver(
        &mut self,
        answer: Kept,
        saved: Saved,
        as_is: bool,
        permit: Option<Permit>,
        now: Timestamp,
    ) {
        self.actions.push(Action::Deliver { attempt: answer.attempt });
        self.events.push(Event::CallDelivered {
            status: answer.status,
            attempts: self.attempts.made(),
            saved,
            took: now.since(self.started_at),
            as_is,
        });
        self.state = State::Delivered { permit };
    }

    fn note_failure(&mut self, kind: BreakKind, ctx: &Ctx<'_>) {
        self.events.push(Event::CallFailed {
            kind,
            certainty: self.worst,
            attempts: self.attempts.made(),
            took: ctx.now.since(self.started_at),
        });
    }

    /// What the table says of a break of this call, before attempts, budget and deadline are asked. For records.
    #[must_use]
    pub fn verdict(&self, what: &Break) -> Verdict {
        verdict(situation(what), self.facts.repetition, self.policy.retry.repeat_refused)
    }

    /// An answer with this status, read as a break, if it is one under the call's policy. For records.
    #[must_use]
    pub fn broken_answer(&self, status: u16, retry_after: Option<Duration>) -> Option<Break> {
        Break::of_status(status, retry_after, &self.policy.failures)
    }

    /// Whose breaker judges the call's attempts.
    #[must_use]
    pub fn scope(&self) -> ScopeId {
        self.policy.scope
    }

    /// Whether the request of this call may be done twice.
    #[must_use]
    pub const fn repetition(&self) -> Repetition {
        self.facts.repetition
    }
}

/// The worse of two certainties: the one that leaves more open about what was done.
const fn worse(a: Certainty, b: Certainty) -> Certainty {
    const fn rank(certainty: Certainty) -> u8 {
        match certainty {
            Certainty::NotSent => 0,
            Certainty::Refused => 1,
            Certainty::Processed => 2,
            Certainty::MaybeProcessed => 3,
        }
    }
    if rank(b) > rank(a) { b } else { a }
}
