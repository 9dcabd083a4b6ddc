//! Waiting where every breaker is open: for a probe that may go, for a check that passes, for a breaker that closes.
//!
//! Nothing of the attempt was sent, so a request of any method may wait. It holds a place, but neither a seat nor what would pay
//! for the attempt: those are of use to others until then, and are asked for again each time. All waits of a call together are
//! bounded by `wait_for`, and each ends in time for an attempt before the call's deadline.

use crate::breaks::BreakKind;
use crate::budget::Price;
use crate::event::{Event, Held, StopReason};
use crate::time::Timestamp;
use crate::upstream::{NoPick, Place};

use super::Ctx;
use super::machine::{Call, Means, State, Until, Waiting};

/// A call waits for an open breaker.
#[derive(Debug)]
pub(super) struct Awaiting {
    place: Place,
    since: Timestamp,
    /// When it waits no longer.
    until: Timestamp,
}

impl Call {
    /// Waits for an attempt that no breaker lets through now, if that may end soon, and gives the means back if not: it doesn't wait,
    /// or not any longer.
    pub(super) fn await_breaker(
        &mut self,
        refused: &NoPick,
        means: Means,
        last: BreakKind,
        ctx: &mut Ctx<'_>,
    ) -> Result<(), Means> {
        if !refused.may_end || !self.is_awaiting(ctx) {
            return Err(means);
        }
        let Some(Awaiting { place, until, .. }) = &self.awaiting else { return Err(means) };
        if ctx.now >= *until {
            return Err(means);
        }
        let endpoints = ctx.upstream.settings().endpoints.len();
        let again = ctx.now + place.ask_again_after(endpoints, ctx.chance);
        let (until, means) = (again.min(*until), means.put_back());
        self.state = State::Waiting(Waiting { until, why: Until::Breaker, means, last });
        Ok(())
    }

    /// Whether it waits; if not, whether it may begin to.
    fn is_awaiting(&mut self, ctx: &Ctx<'_>) -> bool {
        if self.awaiting.is_some() {
            return true;
        }
        let settings = &ctx.upstream.settings().breaker;
        let left = settings.wait_for.saturating_sub(self.waited);
        let until = (ctx.now + left).min(self.latest_start(ctx));
        if until <= ctx.now || self.facts.has_stand_in {
            return false;
        }
        let priority = self.facts.priority.unwrap_or(self.policy.priority);
        let Some(place) = ctx.upstream.place(self.policy.scope, priority, ctx.now) else {
            return false;
        };
        self.awaiting = Some(Awaiting { place, since: ctx.now, until });
        self.events.push(Event::AttemptHeld { by: Held::Breaker });
        true
    }

    /// The time of a wait for a breaker has come: it asks again.
    pub(super) fn ask_again(&mut self, means: Means, last: BreakKind, ctx: &mut Ctx<'_>) {
        let means = match means {
            Means::Owed => match ctx.upstream.budget().reserve(Price::Transient, ctx.now) {
                Some(reservation) => Means::Reserved(reservation),
                None => return self.await_means(last, ctx),
            },
            means @ (Means::Free | Means::Reserved(_)) => means,
        };
        self.seat_and_pick(means, last, ctx);
    }

    /// The budget has nothing for the attempt: others prove within milliseconds whether theirs are worth their price.
    fn await_means(&mut self, last: BreakKind, ctx: &mut Ctx<'_>) {
        let nothing_yet = NoPick { kind: last, until: None, may_end: true };
        if self.await_breaker(&nothing_yet, Means::Owed, last, ctx).is_err() {
            self.stop(last, StopReason::BudgetEmpty, None, None, ctx);
        }
    }

    /// It waits no longer, since an attempt starts (`passed`) or the call ends.
    pub(super) fn end_await(&mut self, passed: bool, now: Timestamp) {
        if let Some(Awaiting { since, .. }) = self.awaiting.take() {
            let waited = now.since(since);
            self.waited += waited;
            self.events.push(Event::BreakerAwaited { waited, passed });
        }
    }
}

impl Means {
    /// What is set aside is of use to others while this one waits.
    fn put_back(self) -> Self {
        match self {
            Self::Free => Self::Free,
            Self::Reserved(_) | Self::Owed => Self::Owed,
        }
    }
}
