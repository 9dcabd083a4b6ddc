//! After an attempt: what it means for its endpoint, and what becomes of the call.

use core::time::Duration;

use crate::breaks::safety::Verdict;
use crate::breaks::{Break, BreakKind};
use crate::budget::Price;
use crate::event::{AttemptId, AttemptReason, Event, Saved, StopReason};
use crate::retry::backoff;
use crate::time::Timestamp;
use crate::upstream::{EndpointId, NoPick, Permit, Purpose, Report};

use super::ending::worse;
use super::machine::{Call, Kept, Means, State};
use super::out::{Paid, Trying};
use super::{Action, Connection, Ctx, DeadlineReason, Layer};

impl Call {
    /// The attempt that the news is about, if it is out, and the other one if there are two. Late news finds nothing.
    pub(super) fn take_trying(&mut self, attempt: AttemptId) -> Option<(Trying, Option<Trying>)> {
        if !self.is_out(attempt) {
            return None;
        }
        match core::mem::replace(&mut self.state, State::Over) {
            State::Trying(out) => Some(out.split(attempt)),
            State::New
            | State::Waiting(_)
            | State::Lined(_)
            | State::Delivered(_)
            | State::Over => None,
        }
    }

    /// The other attempt was faster: this one is stopped, and isn't held against its endpoint.
    pub(super) fn outrun(&mut self, trying: Trying, ctx: &mut Ctx<'_>) {
        self.cancel(&trying);
        let Trying { attempt, mut permit, started_at, .. } = trying;
        let took = ctx.now.since(started_at);
        self.events.push(Event::AttemptOutrun { attempt, endpoint: permit.endpoint(), took });
        // Nothing follows for a breaker from that, so there is no event.
        let _ = permit.report(Report::Outrun(took), ctx.now, ctx.chance);
    }

    /// Nobody waits for this attempt any more. One whose time was over was told so already.
    pub(super) fn cancel(&mut self, trying: &Trying) {
        if trying.cancelled.is_none() {
            self.actions.push(Action::Cancel { attempt: trying.attempt });
        }
    }

    /// Books a broken attempt: event, endpoint, certainty. Gives the permit back, still in flight.
    pub(super) fn close_attempt(
        &mut self,
        trying: Trying,
        what: Break,
        ctx: &mut Ctx<'_>,
    ) -> Permit {
        let dead = trying.dead_connection(&what, self.attempts.repeats()).is_some();
        let Trying { attempt, mut permit, started_at, cancelled, paid, .. } = trying;
        match (paid, &mut self.upload) {
            (Paid::Held(price), Some(upload)) => upload.owe(price, ctx.now),
            (paid, _) => paid.spend(ctx.now),
        }
        let took = ctx.now.since(started_at);
        self.events.push(Event::AttemptFailed { attempt, endpoint: permit.endpoint(), what, took });
        self.worst = worse(self.worst, what.certainty);
        let report = match what.kind {
            BreakKind::Throttled if is_about_us(&what) => {
                Report::RateLimited { hint: what.retry_after, lane: self.facts.lane }
            }
            BreakKind::Throttled => Report::Throttled(what.retry_after),
            BreakKind::RefusedStatus => Report::NoNews,
            // Connections end; how the endpoint is, the fresh one will tell.
            // The same where the request may have got there: a pool's connections reach the peer's idle limit together, and
            // would open a breaker in front of a server that is well.
            BreakKind::ClosedWhileIdle => Report::NoNews,
            _ if dead => Report::NoNews,
            // The call's deadline cut a later attempt short: it may have been about to succeed.
            _ if cancelled == Some(DeadlineReason::Call) && attempt.0 > 1 => Report::NoNews,
            BreakKind::ResponseTimeout => Report::TimedOut(took),
            // Whether the endpoint brought the upload no further, its offset will tell.
            kind if kind.blames_endpoint() && self.withholds_blame(&what) => Report::NoNews,
            kind if kind.blames_endpoint() => Report::Broke,
            _ => Report::NoNews,
        };
        if let Some(event) = permit.report(report, ctx.now, ctx.chance) {
            self.events.push(event);
        }
        permit
    }

    /// Books an answer that speaks for its endpoint.
    pub(super) fn note_success(
        &mut self,
        attempt: AttemptId,
        permit: &mut Permit,
        status: u16,
        started_at: Timestamp,
        ctx: &mut Ctx<'_>,
    ) {
        let (endpoint, took) = (permit.endpoint(), ctx.now.since(started_at));
        self.events.push(Event::AttemptSucceeded { attempt, endpoint, status, took });
        if let Some(event) = permit.report(Report::Answered(took), ctx.now, ctx.chance) {
            self.events.push(event);
        }
    }

    pub(super) fn deliver_success(&mut self, trying: Trying, status: u16, ctx: &mut Ctx<'_>) {
        let Trying { attempt, reason, mut permit, paid, started_at, .. } = trying;
        self.note_success(attempt, &mut permit, status, started_at, ctx);
        // An upload goes in several attempts by its protocol, whether or not one breaks.
        let is_unbroken = reason == AttemptReason::Resume && self.upload_breaks == 0;
        match paid {
            // A retry that succeeds was worth it, and gets its price back. A hedge isn't known to have been: the first
            // attempt might have succeeded too.
            Paid::Charge(charge) if reason == AttemptReason::Hedge => drop(charge),
            Paid::Charge(charge) => charge.refund(),
            Paid::Nothing if attempt.0 == 1 || is_unbroken => {
                ctx.upstream.budget().on_first_try_success()
            }
            Paid::Nothing | Paid::Held(_) => {}
        }
        let saved = match reason {
            AttemptReason::First => Saved::NotNeeded,
            AttemptReason::Resume if is_unbroken => Saved::NotNeeded,
            AttemptReason::Retry | AttemptReason::Resume => Saved::ByRetry,
            AttemptReason::Failover => Saved::ByFailover,
            AttemptReason::Hedge => Saved::ByHedge,
        };
        self.deliver(Kept { attempt, status }, saved, false, Some(permit), ctx.now);
    }

    /// The table's verdict, then what the means allow. `dead`: where a kept connection turned out to have ended. `answer`: the
    /// broken answer, if the break is one.
    pub(super) fn decide(
        &mut self,
        what: Break,
        dead: Option<EndpointId>,
        answer: Option<(Kept, Permit)>,
        ctx: &mut Ctx<'_>,
    ) {
        let (price, hint) = match self.verdict(&what) {
            Verdict::ContinueUpload => return self.continue_upload(what, dead, answer, ctx),
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
                if (verdict == Verdict::AgainFree || dead.is_some()) && ctx.now < self.ends_at {
                    let moved = match (dead, self.move_on(dead, ctx)) {
                        // Its endpoint takes nobody just now, its breaker may have opened meanwhile: what may go there for free may
                        // go elsewhere for free.
                        (Some(_), Err(_)) => self.move_on(None, ctx),
                        (_, moved) => moved,
                    };
                    match moved {
                        Ok(()) => return,
                        Err(Some(refused))
                            if verdict == Verdict::AgainFree
                                && self.await_free(&refused, what.kind, ctx) =>
                        {
                            return;
                        }
                        Err(_) => {}
                    }
                }
                (Price::Transient, None)
            }
            Verdict::Retry => (Price::Transient, None),
            Verdict::RetryAfterHint => (Price::Throttled, what.retry_after),
        };
        self.schedule(what, price, hint, answer, ctx);
    }

    /// Sends again what never reached the endpoint: over a fresh connection where a kept one was dead, else at an endpoint that
    /// wasn't tried. Not a retry, so neither waited nor paid for.
    ///
    /// # Errors
    ///
    /// There is no such place now, and what stands in the way of each, if anything does but that it was tried.
    pub(super) fn move_on(
        &mut self,
        dead: Option<EndpointId>,
        ctx: &mut Ctx<'_>,
    ) -> Result<(), Option<NoPick>> {
        let seat = self.seat.take().or_else(|| ctx.upstream.gate().seat()).ok_or(None)?;
        if !self.attempts.take_free() {
            return Err(None);
        }
        let (picked, connection) = match dead {
            Some(endpoint) => {
                let again = ctx.upstream.pick_again(endpoint, self.policy.scope, ctx.now);
                (again, Connection::Fresh)
            }
            None => {
                let want = self.want(Purpose::Again);
                (ctx.upstream.pick(want, ctx.now, ctx.chance), Connection::Any)
            }
        };
        match picked {
            Ok(mut pick)
                if connection == Connection::Fresh
                    || !self.tried.contains(pick.permit.endpoint()) =>
            {
                pick.permit.keep(seat);
                self.start(pick, Means::Free, connection, ctx);
                Ok(())
            }
            tried_or_refused => {
                self.attempts.return_free();
                Err(tried_or_refused.err())
            }
        }
    }

    /// What was never sent waits for free too, where it can't move on because every breaker is open. Says whether it does.
    fn await_free(&mut self, refused: &NoPick, last: BreakKind, ctx: &mut Ctx<'_>) -> bool {
        let may_wait = refused.kind == BreakKind::BreakerOpen && !self.goes_on();
        if !may_wait || !self.attempts.take_free() {
            return false;
        }
        let waits = self.await_breaker(refused, Means::Free, last, ctx).is_ok();
        if !waits {
            self.attempts.return_free();
        }
        waits
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
        if self.leaves_retries() && !self.is_resuming() {
            return self.stop(what.kind, StopReason::LeftToCaller, hint, answer, ctx);
        }
        if self.attempts_used() {
            return self.stop(what.kind, StopReason::AttemptsUsed, hint, answer, ctx);
        }
        // A 503's hint holds its own endpoint only, and the pick goes elsewhere while there is an elsewhere; a 429
        // is about us, so the call itself waits.
        let hint_holds = is_about_us(&what) || ctx.upstream.settings().endpoints.len() == 1;
        let own =
            self.attempts.wait(settings, price == Price::Throttled && hint.is_none(), ctx.chance);
        let (delay, hinted) = match hint {
            Some(hint) if hint_holds => (backoff::wait_after_hint(hint, own, ctx.chance), true),
            Some(_) | None => (own, false),
        };
        if self.is_hopeless(delay, ctx) {
            let stop = if ctx.now >= self.ends_at {
                StopReason::DeadlinePassed
            } else {
                StopReason::DeadlineTooClose
            };
            return self.stop(what.kind, stop, hint, answer, ctx);
        }
        if self.is_resuming() {
            let delay = delay.max(self.least_wait());
            return self.wait(delay, hinted, Means::Owed, what.kind, ctx.now);
        }
        let Some(reservation) = ctx.upstream.budget().reserve(price, ctx.now) else {
            return self.stop(what.kind, StopReason::BudgetEmpty, hint, answer, ctx);
        };
        if let Some((kept, _)) = answer {
            self.keep(kept);
        }
        self.wait(delay, hinted, Means::Reserved(reservation), what.kind, ctx.now);
    }

    /// Keeps an answer for the case that nothing better comes.
    pub(super) fn keep(&mut self, kept: Kept) {
        self.kept = Some(kept);
        self.actions.push(Action::Keep { attempt: kept.attempt });
    }

    /// Whether the caller is a layer that tries again itself, and the retries are left to it.
    pub(super) fn leaves_retries(&self) -> bool {
        self.facts.layer.is_some_and(Layer::will_retry)
    }
}

/// Whether the peer turned us away for what we do, not for what it can't: 429, and RESOURCE_EXHAUSTED of gRPC.
fn is_about_us(what: &Break) -> bool {
    what.status == Some(429) || what.grpc == Some(8)
}
