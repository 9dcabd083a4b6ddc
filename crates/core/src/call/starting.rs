//! Starting an attempt: the first, the next, a hedge beside one that is out; or waiting for its time.

use alloc::boxed::Box;
use core::time::Duration;

use crate::breaks::BreakKind;
use crate::budget::Price;
use crate::event::{AttemptReason, Event, Held, StopReason};
use crate::line::Entry;
use crate::retry::backoff;
use crate::time::{Timestamp, nanos};
use crate::upstream::{Booking, EndpointId, NoPick, Pass, Pick, Purpose, Seat, Want};

use super::hedge::HedgeRefusal;
use super::machine::{Call, Lined, Means, State, Until, Waiting};
use super::out::{Hedge, Out, Paid, Trying};
use super::{Action, Connection, Ctx};

impl Call {
    /// Starts an attempt, or waits until it may start. `last`: what the application is told if it never does.
    pub(super) fn attempt(&mut self, means: Means, last: BreakKind, ctx: &mut Ctx<'_>) {
        let Some(means) = self.afford(means, last, ctx) else { return };
        let latest = self.latest_start(ctx);
        let (until, why, by) =
            match ctx.upstream.gate().pass(self.facts.lane, ctx.now, latest, ctx.chance) {
                Pass::Go => return self.seat_and_pick(means, last, ctx),
                Pass::AfterPause(at) => (at, Until::Pause, Held::Pause),
                Pass::AtRate(at, booking) => (at, Until::Rate(booking), Held::Rate),
                Pass::Paused(until) => {
                    return self.shed(last, StopReason::Paused, Some(until), ctx);
                }
                Pass::TooMany(until) => {
                    return self.shed(last, StopReason::RateExceeded, Some(until), ctx);
                }
            };
        self.events.push(Event::AttemptHeld { by });
        self.state = State::Waiting(Waiting { until, why, means, last });
    }

    /// The last moment at which an attempt is of use, by the fastest that was observed.
    pub(super) fn latest_start(&self, ctx: &Ctx<'_>) -> Timestamp {
        let needed = nanos(ctx.upstream.least_needed());
        Timestamp::from_nanos(self.ends_at.as_nanos().saturating_sub(needed))
    }

    /// The attempt isn't let through, before `until` if that is known.
    pub(super) fn shed(
        &mut self,
        last: BreakKind,
        stop: StopReason,
        until: Option<Timestamp>,
        ctx: &mut Ctx<'_>,
    ) {
        let kind = if self.attempts.made() == 0 { BreakKind::LimitReached } else { last };
        self.stop(kind, stop, until.map(|until| until.since(ctx.now)), None, ctx);
    }

    /// What a pick for this call has to heed.
    pub(super) fn want(&self, purpose: Purpose) -> Want<'_> {
        let tried = self.tried.list();
        Want { tried, scope: self.policy.scope, purpose, hash: self.facts.hash }
    }

    pub(super) fn seat_and_pick(&mut self, means: Means, last: BreakKind, ctx: &mut Ctx<'_>) {
        match ctx.upstream.gate().seat() {
            Some(seat) => self.pick(means, last, seat, ctx),
            None => self.line_up(means, last, ctx),
        }
    }

    /// There is no room: the call waits for it, if anybody may.
    fn line_up(&mut self, means: Means, last: BreakKind, ctx: &mut Ctx<'_>) {
        if self.lined_up >= MOST_TURNS {
            return self.shed(last, StopReason::LineFull, None, ctx);
        }
        self.lined_up += 1;
        self.events.push(Event::AttemptHeld { by: Held::Limit });
        self.actions.push(Action::Line(Entry {
            priority: self.facts.priority.unwrap_or(self.policy.priority),
            give_up_at: self.ends_at,
            needs: ctx.upstream.least_needed(),
        }));
        self.state = State::Lined(Lined { means, last });
    }

    /// Picks an endpoint and starts an attempt there.
    pub(super) fn pick(&mut self, means: Means, last: BreakKind, seat: Seat, ctx: &mut Ctx<'_>) {
        let purpose = if self.attempts.made() > 0 { Purpose::Again } else { Purpose::First };
        let again = |at| ctx.upstream.pick_again(at, self.policy.scope, ctx.now);
        let picked = match (self.upload_at(), self.origin()) {
            (Some(at), _) => again(at),
            (None, Some(at)) => {
                again(at).or_else(|_| ctx.upstream.pick(self.want(purpose), ctx.now, ctx.chance))
            }
            (None, None) => ctx.upstream.pick(self.want(purpose), ctx.now, ctx.chance),
        };
        match picked {
            Ok(mut pick) => {
                pick.permit.keep(seat);
                self.start(pick, means, Connection::Any, ctx);
            }
            Err(NoPick { kind: BreakKind::LimitReached, .. }) => self.line_up(means, last, ctx),
            Err(refused) => self.nothing_to_pick(refused, means, last, ctx),
        }
    }

    pub(super) fn start(
        &mut self,
        pick: Pick,
        means: Means,
        connection: Connection,
        ctx: &mut Ctx<'_>,
    ) {
        self.end_await(true, ctx.now);
        let endpoint = pick.permit.endpoint();
        let reason = match (self.attempts.made(), self.tried.contains(endpoint)) {
            _ if self.goes_on() => AttemptReason::Resume,
            (0, _) => AttemptReason::First,
            (_, true) => AttemptReason::Retry,
            (_, false) => AttemptReason::Failover,
        };
        let trying = self.send_out(pick, reason, means, connection, ctx);
        let hedge = self.hedge_after(&trying, ctx).map_or(Hedge::None, Hedge::At);
        self.state = State::Trying(Out { main: trying, hedge });
    }

    /// One more attempt is out.
    fn send_out(
        &mut self,
        pick: Pick,
        reason: AttemptReason,
        means: Means,
        connection: Connection,
        ctx: &Ctx<'_>,
    ) -> Trying {
        let endpoint = pick.permit.endpoint();
        let attempt = self.attempts.start();
        self.tried.add(endpoint);
        if let Some(event) = pick.event {
            self.events.push(event);
        }
        if pick.failed_open {
            self.events.push(Event::FailedOpen { endpoint });
        }
        self.events.push(Event::AttemptStarted { attempt, endpoint, reason });
        self.actions.push(Action::Attempt { attempt, endpoint, connection });
        let paid = match means {
            Means::Reserved(reservation) if self.goes_on() => Paid::Held(reservation),
            Means::Reserved(reservation) => Paid::Charge(reservation.charge(ctx.now)),
            Means::Free | Means::Owed => Paid::Nothing,
        };
        Trying {
            attempt,
            reason,
            permit: pick.permit,
            paid,
            connection,
            started_at: ctx.now,
            ends_at: ctx.now + self.attempt_timeout(endpoint, ctx),
            commit_at: None,
            cancelled: None,
        }
    }

    /// How long an attempt at `endpoint` may take.
    fn attempt_timeout(&self, endpoint: EndpointId, ctx: &Ctx<'_>) -> Duration {
        let cap = self.policy.attempt_timeout;
        match &self.policy.adaptive_timeout {
            Some(adaptive) => {
                adaptive.timeout(ctx.upstream.percentile(endpoint, adaptive.percentile), cap)
            }
            None => cap,
        }
    }

    /// Whether an attempt that starts after `delay` ends too late, by the fastest that was observed.
    pub(super) fn is_hopeless(&self, delay: Duration, ctx: &Ctx<'_>) -> bool {
        ctx.now + delay + ctx.upstream.least_needed() >= self.ends_at
    }

    // ---- hedging ----------------------------------------------------------------------------------------------

    /// When the attempt is to be hedged, if it may be.
    fn hedge_after(&self, trying: &Trying, ctx: &Ctx<'_>) -> Option<Timestamp> {
        let settings = self.policy.hedge.as_ref()?;
        let may_be_done_twice = self.facts.repetition.is_idempotent() && !self.leaves_retries();
        let is_upload = self.facts.has_body && self.policy.resumable_upload.is_some();
        if !may_be_done_twice || !self.repeatable || self.is_resuming() || is_upload {
            return None;
        }
        settings.due_at(trying.permit.endpoint(), ctx.upstream, ctx.now)
    }

    /// Makes the hedge that is due, or says why not. Either way the first attempt goes on.
    pub(super) fn hedge(&mut self, ctx: &mut Ctx<'_>) {
        let hedge = match self.try_hedge(ctx) {
            Ok(trying) => Hedge::Out(Box::new(trying)),
            Err(reason) => {
                self.events.push(Event::HedgeRefused { reason });
                Hedge::None
            }
        };
        if let State::Trying(out) = &mut self.state {
            out.hedge = hedge;
        }
    }

    fn try_hedge(&mut self, ctx: &mut Ctx<'_>) -> Result<Trying, HedgeRefusal> {
        if !self.whole {
            return Err(HedgeRefusal::BodyNotWhole);
        }
        if self.attempts.used_up(&self.policy.retry) {
            return Err(HedgeRefusal::AttemptsUsed);
        }
        if self.is_hopeless(Duration::ZERO, ctx) {
            return Err(HedgeRefusal::DeadlineTooClose);
        }
        let reservation = ctx.upstream.budget().reserve(Price::Transient, ctx.now);
        let means = Means::Reserved(reservation.ok_or(HedgeRefusal::BudgetEmpty)?);
        let seat = ctx.upstream.gate().seat().ok_or(HedgeRefusal::Held)?;
        let pick = ctx.upstream.pick(self.want(Purpose::Hedge), ctx.now, ctx.chance);
        let mut pick = pick.map_err(|_| HedgeRefusal::NoEndpoint)?;
        // Last, since a place under the rate limit isn't given back. A hedge that has to wait comes too late.
        let Pass::Go = ctx.upstream.gate().pass(self.facts.lane, ctx.now, ctx.now, ctx.chance)
        else {
            return Err(HedgeRefusal::Held);
        };
        pick.permit.keep(seat);
        Ok(self.send_out(pick, AttemptReason::Hedge, means, Connection::Any, ctx))
    }

    // ---- waiting ----------------------------------------------------------------------------------------------

    /// Nothing can be asked now. Where it is known that this ends soon, because endpoints asked for a pause, the
    /// call waits for that; for open breakers it waits as far as that is bounded, or their probes would meet a crowd.
    pub(super) fn nothing_to_pick(
        &mut self,
        refused: NoPick,
        means: Means,
        last: BreakKind,
        ctx: &mut Ctx<'_>,
    ) {
        if self.may_begin_upload_anew(ctx) {
            drop(means);
            return self.begin_upload_anew(last, ctx);
        }
        if self.goes_on() {
            return self.await_endpoint(refused.until, means, last, ctx);
        }
        let pause = refused.until.filter(|_| refused.kind == BreakKind::NoEndpoint);
        if let Some(until) = pause {
            let delay = backoff::wait_after_hint(until.since(ctx.now), Duration::ZERO, ctx.chance);
            if ctx.now + delay < self.ends_at {
                self.wait(delay, true, means, last, ctx.now);
                return;
            }
        }
        let Err(means) = self.await_breaker(&refused, means, last, ctx) else { return };
        drop(means);
        let kind = if self.attempts.made() == 0 { refused.kind } else { last };
        let retry_after = refused.until.map(|until| until.since(ctx.now));
        let stop = match refused.kind {
            BreakKind::BreakerOpen => StopReason::BreakerOpen,
            _ => StopReason::NoEndpoint,
        };
        self.stop(kind, stop, retry_after, None, ctx);
    }

    pub(super) fn wait(
        &mut self,
        delay: Duration,
        hinted: bool,
        means: Means,
        last: BreakKind,
        now: Timestamp,
    ) {
        self.events.push(Event::RetryScheduled { delay, hinted });
        let until = now + delay;
        self.state = State::Waiting(Waiting { until, why: Until::Retry, means, last });
    }

    pub(super) fn end_wait(&mut self, ctx: &mut Ctx<'_>) {
        let State::Waiting(waiting) = core::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let Waiting { why, means, last, .. } = waiting;
        // Who waits for a breaker has been told by when, and asks one last time.
        if ctx.now >= self.ends_at && !matches!(why, Until::Breaker) {
            self.stop(last, StopReason::DeadlinePassed, None, None, ctx);
            return;
        }
        match why {
            Until::Retry | Until::Pause | Until::Means => self.attempt(means, last, ctx),
            Until::Breaker => self.ask_again(means, last, ctx),
            Until::Rate(booking) => {
                booking.into_iter().for_each(Booking::used);
                self.seat_and_pick(means, last, ctx);
            }
        }
    }
}

/// How often a call lines up, all of its attempts together: whoever has its turn and finds the room gone comes back, but not
/// for ever.
const MOST_TURNS: u8 = 16;
