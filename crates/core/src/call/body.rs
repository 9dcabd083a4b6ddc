//! The body of the delivered answer: it ends, or breaks and is continued by a further attempt.
//!
//! ```text
//!              on_body_break                 end_wait, attempt           on_resumed
//!   delivered ───────────────▶ waiting ───────────────────▶ trying ─────────────────▶ delivered
//!       │                         │      budget, endpoint     │  on_break: again, or
//!       │ on_body_end             ▼                           ▼  on_mismatch
//!       ▼                        cut ◀─────────────────────── cut
//!      over
//! ```
//!
//! What continues an answer is an attempt like any other, but for three things. It is paid for only if nothing comes of it: once it
//! has brought more of the body, it was a piece of the call's own work, as if the application had asked for the answer in
//! slices; so the reservation is held until then. Where the budget has nothing to give it waits, since the application, in the
//! middle of its answer, can't be told to come back later. And it goes to the endpoint that gave the answer first, since that
//! one is the most likely to have the same one still; but not where that one broke off twice in a row and another one's answer
//! would show that it is the same: then the others are asked first, but for those that turned out to have another one.

use core::time::Duration;

use crate::breaks::safety::{Situation, Verdict, verdict};
use crate::breaks::{Break, BreakKind};
use crate::budget::{Price, Reservation};
use crate::event::{AttemptId, Event, Held, StopReason};
use crate::heal::{HoldSettings, NotHealed, Proof};
use crate::time::Timestamp;
use crate::upstream::{EndpointId, Permit};

use super::machine::{Call, Means, State, Until, Waiting};
use super::out::{Paid, Trying};
use super::{Action, Ctx};

/// An answer is with the application, and more of its body may be to come.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) permit: Option<Permit>,
    /// What pays for the attempt that continues it, should nothing come of that.
    pub(super) held: Option<Reservation>,
    /// Whether more of it came since the head, or since it was continued.
    pub(super) moved: bool,
}

/// The body of the delivered answer is broken, and to be continued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resuming {
    /// What broke.
    kind: BreakKind,
    /// Where the answer came from.
    origin: EndpointId,
    since: Timestamp,
    /// The least that the peer has to be left alone for before each attempt: an event stream says so by `retry`.
    least_wait: Duration,
    /// What it is told to wait for, since it was told once.
    told: Option<Held>,
    /// Whether it isn't a body but a connection that had switched protocols: another one has to do in its place.
    is_tunnel: bool,
    /// Whether others are asked before where it came from.
    left_out: bool,
}

impl Resuming {
    const fn new(
        kind: BreakKind,
        origin: EndpointId,
        least_wait: Duration,
        since: Timestamp,
    ) -> Self {
        Self { kind, origin, since, least_wait, told: None, is_tunnel: false, left_out: false }
    }
}

impl Call {
    // ---- before anything is delivered -------------------------------------------------------------------------

    /// Whether and how long the head of an answer is held back: where a break would be followed by another attempt.
    #[must_use]
    pub fn hold(&self) -> Option<HoldSettings> {
        let may_go_again = self.repeatable && self.facts.repetition.is_idempotent();
        self.policy.heal.hold.filter(|_| may_go_again && self.resuming.is_none())
    }

    /// The head of a good answer is here and is held back, for [`Call::hold`]. It is told by [`Call::on_head`] when enough
    /// of the body has come, or by [`Call::on_break`] if it breaks before. [`Action::Commit`] says when it is waited for no
    /// longer.
    pub fn on_held(&mut self, attempt: AttemptId, ctx: &mut Ctx<'_>) {
        let (Some(hold), State::Trying(out)) = (self.policy.heal.hold, &mut self.state) else {
            return;
        };
        out.hold(attempt, ctx.now + hold.time);
    }

    // ---- after ------------------------------------------------------------------------------------------------

    /// The body of the delivered answer ended, whole; or the outcome that a gRPC call's trailers tell is a break.
    pub fn on_body_end(&mut self, broke: Option<BreakKind>, ctx: &mut Ctx<'_>) {
        let State::Delivered(delivered) = &mut self.state else { return };
        let Delivered { permit, held, .. } = delivered;
        // What continued it brought what was missing.
        let was_resumed = held.take().is_some();
        if let (Some(kind), Some(permit)) = (broke, permit.take()) {
            self.note_body_failure(permit.endpoint(), kind, ctx);
        }
        if was_resumed {
            self.note_progress(ctx);
        }
        if broke.is_none() && self.breaks > 0 {
            self.events.push(Event::AnswerHealed { breaks: self.breaks });
        }
        self.state = State::Over;
    }

    /// The body of the delivered answer goes on: enough came since the head, or since it was continued
    /// ([`Progress`](crate::heal::Progress)).
    pub fn on_body_progress(&mut self, ctx: &mut Ctx<'_>) {
        let State::Delivered(delivered) = &mut self.state else { return };
        delivered.moved = true;
        if delivered.held.take().is_some() {
            self.note_progress(ctx);
        }
    }

    /// The body of the delivered answer broke. `proof`: the driver can tell whether what comes is what is missing; or the code of
    /// what it lacks for that. It is continued, or [`Action::Cut`] says that it isn't.
    pub fn on_body_break(
        &mut self,
        kind: BreakKind,
        proof: Result<Proof, &'static str>,
        ctx: &mut Ctx<'_>,
    ) {
        let State::Delivered(Delivered { permit, moved, .. }) = &self.state else { return };
        let (origin, moved) = (permit.as_ref().map(Permit::endpoint), *moved);
        self.give_up_delivery(ctx);
        let Some(origin) = origin else {
            return self.cut(kind, NotHealed::Stopped(StopReason::ReplyStarted));
        };
        let row = verdict(Situation::ReplyStarted, self.facts.repetition, true);
        let why = match (self.policy.heal.resume_within, proof) {
            (Some(within), Ok(proof)) if row == Verdict::Resume => {
                // An endpoint that brings an answer in pieces does bring it, and isn't to be left alone for that.
                if moved {
                    self.note_body_break(origin, kind, ctx);
                } else {
                    self.note_body_failure(origin, kind, ctx);
                }
                self.breaks = self.breaks.saturating_add(1);
                let mut resuming = Resuming::new(kind, origin, proof.after, ctx.now);
                resuming.left_out = self.leave_out(origin, proof.anywhere, ctx);
                return self.resume(resuming, within, moved, ctx);
            }
            (Some(_), Ok(_)) => NotHealed::Stopped(StopReason::ReplyStarted),
            (None, _) => NotHealed::Off,
            (Some(_), Err(lacking)) => NotHealed::Unproven(lacking),
        };
        self.note_body_failure(origin, kind, ctx);
        self.cut(kind, why);
    }

    /// The answer that is being delivered ended well, and was a part of what is missing: the rest is asked for as after a break,
    /// but that nothing broke.
    pub fn on_body_part(&mut self, least_wait: Duration, ctx: &mut Ctx<'_>) {
        let State::Delivered(Delivered { permit: Some(permit), moved, .. }) = &self.state else {
            return;
        };
        let (origin, moved) = (permit.endpoint(), *moved);
        let Some(within) = self.policy.heal.resume_within else { return };
        self.give_up_delivery(ctx);
        let resuming = Resuming::new(BreakKind::BodyTruncated, origin, least_wait, ctx.now);
        self.tried = super::Tried::default();
        self.resume(resuming, within, moved, ctx);
    }

    /// The connection that had switched protocols broke before anything was said over it, and the route wants another one within
    /// so long. It is opened again, elsewhere first, or [`Action::Cut`] says that it isn't.
    pub fn on_tunnel_break(&mut self, kind: BreakKind, within: Duration, ctx: &mut Ctx<'_>) {
        let State::Delivered(Delivered { permit, .. }) = &self.state else { return };
        let origin = permit.as_ref().map(Permit::endpoint);
        self.give_up_delivery(ctx);
        if let Some(origin) = origin {
            self.note_body_failure(origin, kind, ctx);
        }
        let row = verdict(Situation::ReplyStarted, self.facts.repetition, true);
        let Some(origin) = origin.filter(|_| row == Verdict::Resume) else {
            return self.cut(kind, NotHealed::Stopped(StopReason::ReplyStarted));
        };
        self.breaks = self.breaks.saturating_add(1);
        let resuming = Resuming::new(kind, origin, Duration::ZERO, ctx.now);
        self.resuming = Some(Resuming { is_tunnel: true, ..resuming });
        self.ends_at = ctx.now + within;
        self.tried = super::Tried::default();
        self.tried.add(origin);
        self.resume_later(kind, ctx);
    }

    /// The answer of an attempt continues the delivered one: [`Action::Continue`] follows.
    pub fn on_resumed(&mut self, attempt: AttemptId, status: u16, ctx: &mut Ctx<'_>) {
        let Some((trying, _)) = self.take_trying(attempt) else { return };
        let Some(resuming) = self.resuming.take() else {
            debug_assert!(false, "attempt {} continues nothing", attempt.0);
            return;
        };
        let (permit, mut held) = self.answered(trying, status, ctx);
        // What comes over a connection doesn't show whether it was worth its price, and may not come for hours.
        if resuming.is_tunnel
            && let Some(price) = held.take()
        {
            drop(price.charge(ctx.now));
        }
        let (endpoint, took) = (permit.endpoint(), ctx.now.since(resuming.since));
        self.events.push(Event::BodyResumed { attempt, endpoint, took });
        self.actions.push(Action::Continue { attempt });
        self.state = State::Delivered(Delivered { permit: Some(permit), held, moved: false });
    }

    /// The answer of an attempt is sound, and doesn't continue the delivered one, for the reason with this code. Another
    /// endpoint's may; that of the one that gave the delivered answer says that nothing will.
    pub fn on_mismatch(
        &mut self,
        attempt: AttemptId,
        status: u16,
        why: &'static str,
        ctx: &mut Ctx<'_>,
    ) {
        let Some((trying, _)) = self.take_trying(attempt) else { return };
        let Some(Resuming { kind, origin, .. }) = self.resuming else { return };
        let (permit, held) = self.answered(trying, status, ctx);
        if let Some(held) = held {
            drop(held.charge(ctx.now));
        }
        let endpoint = permit.endpoint();
        let is_final = endpoint == origin || self.attempts_used();
        drop(permit);
        self.note_stranger(endpoint);
        if is_final {
            return self.cut(kind, NotHealed::Unproven(why));
        }
        let delay = self.own_wait(ctx);
        self.wait(delay, false, Means::Owed, kind, ctx.now);
    }

    // ---- how --------------------------------------------------------------------------------------------------

    /// The answer that was being delivered brings no more; what continued it in vain is paid for.
    fn give_up_delivery(&mut self, ctx: &Ctx<'_>) {
        if let State::Delivered(Delivered { held: Some(held), .. }) =
            core::mem::replace(&mut self.state, State::Over)
        {
            drop(held.charge(ctx.now));
        }
    }

    fn resume(&mut self, resuming: Resuming, within: Duration, moved: bool, ctx: &mut Ctx<'_>) {
        let kind = resuming.kind;
        self.resuming = Some(resuming);
        if moved || self.attempts.counted() == 0 {
            self.ends_at = ctx.now + self.least_wait() + within;
        }
        self.resume_later(kind, ctx);
    }

    fn resume_later(&mut self, kind: BreakKind, ctx: &mut Ctx<'_>) {
        if self.attempts.made() >= MOST_IN_ALL || self.attempts_used() {
            return self.cut(kind, NotHealed::Stopped(StopReason::AttemptsUsed));
        }
        let delay = self.own_wait(ctx);
        if self.is_hopeless(delay, ctx) {
            return self.cut(kind, NotHealed::Stopped(StopReason::DeadlineTooClose));
        }
        self.wait(delay, false, Means::Owed, kind, ctx.now);
    }

    /// Leaves the endpoint where the answer has just broken off for others to be asked first, if it was the second time in a row.
    fn leave_out(&mut self, origin: EndpointId, anywhere: bool, ctx: &Ctx<'_>) -> bool {
        let again = self.broke_at.replace(origin) == Some(origin);
        self.tried = super::Tried::default();
        let strangers = self.strangers.as_deref().map_or(&[][..], super::Tried::list);
        let is_other = |other: EndpointId| other != origin && !strangers.contains(&other);
        let leaves = again && anywhere && ctx.upstream.endpoint_ids().any(is_other);
        if leaves {
            strangers.iter().for_each(|&stranger| self.tried.add(stranger));
            self.tried.add(origin);
            self.broke_at = None;
        }
        leaves
    }

    /// Another representation is there, so it isn't asked again before where the answer came from.
    fn note_stranger(&mut self, endpoint: EndpointId) {
        let strangers = self.strangers.get_or_insert_default();
        strangers.add(endpoint);
        if let Some(resuming) = &mut self.resuming
            && core::mem::take(&mut resuming.left_out)
        {
            self.tried = (**strangers).clone();
        }
    }

    /// The means for an attempt that waited for them; `None` when it has to wait on, or the call has ended.
    pub(super) fn afford(
        &mut self,
        means: Means,
        last: BreakKind,
        ctx: &mut Ctx<'_>,
    ) -> Option<Means> {
        match means {
            Means::Free | Means::Reserved(_) => Some(means),
            Means::Owed => {
                if let Some(reservation) = ctx.upstream.budget().reserve(Price::Transient, ctx.now)
                {
                    return Some(Means::Reserved(reservation));
                }
                self.await_more(Held::Budget, OWED_WAIT, last, StopReason::BudgetEmpty, ctx);
                None
            }
        }
    }

    /// Where the broken answer came from, while that wasn't asked again.
    pub(super) fn origin(&self) -> Option<EndpointId> {
        let origin = self.resuming?.origin;
        (!self.tried.contains(origin)).then_some(origin)
    }

    /// The wait before an attempt that continues the answer, by our own backoff and by what the peer said.
    fn own_wait(&mut self, ctx: &mut Ctx<'_>) -> Duration {
        let own = self.attempts.wait(&self.policy.retry, false, ctx.chance);
        own.max(self.least_wait())
    }

    /// The least wait before an attempt, by what the peer said.
    pub(super) fn least_wait(&self) -> Duration {
        self.resuming.map_or(Duration::ZERO, |resuming| resuming.least_wait)
    }

    /// Whether the next attempt continues something: an answer, or an upload.
    pub(super) const fn goes_on(&self) -> bool {
        self.is_resuming() || self.upload.is_some()
    }

    pub(super) const fn is_resuming(&self) -> bool {
        self.resuming.is_some()
    }

    /// Whether every attempt was made: as many as the policy allows to the answer, and to each further piece of it, or of an
    /// upload, as many as a restart of the upstream takes.
    pub(super) fn attempts_used(&self) -> bool {
        if self.goes_on() {
            self.attempts.counted() >= MOST_ATTEMPTS
        } else {
            self.attempts.used_up(&self.policy.retry)
        }
    }

    /// What is to be continued waits for an endpoint, where others would be refused: the application can't come back
    /// for it later. It asks again before the hint: an endpoint may come back, or another one be well, long before the time by
    /// which each will have been tried, and to be refused costs nothing.
    pub(super) fn await_endpoint(
        &mut self,
        until: Option<Timestamp>,
        means: Means,
        last: BreakKind,
        ctx: &mut Ctx<'_>,
    ) {
        // What is set aside for it is of use to others until then.
        drop(means);
        let hint = until.map_or(Duration::ZERO, |until| until.since(ctx.now));
        let wait = hint.clamp(OWED_WAIT, ENDPOINT_WAIT);
        self.await_more(Held::Endpoint, wait, last, StopReason::NoEndpoint, ctx);
    }

    /// Waits for what needs to be there before it goes on, up to twice as long as said; it ends when that is too late.
    fn await_more(
        &mut self,
        what: Held,
        wait: Duration,
        last: BreakKind,
        else_stop: StopReason,
        ctx: &mut Ctx<'_>,
    ) {
        let until = ctx.now + wait + ctx.chance.up_to(wait);
        if until >= self.ends_at {
            return self.stop(last, else_stop, None, None, ctx);
        }
        let told = match (&mut self.resuming, &mut self.upload) {
            (Some(resuming), _) => Some(&mut resuming.told),
            (None, Some(upload)) => Some(&mut upload.told),
            (None, None) => None,
        };
        if let Some(told) = told
            && *told != Some(what)
        {
            *told = Some(what);
            self.events.push(Event::AttemptHeld { by: what });
        }
        self.state = State::Waiting(Waiting { until, why: Until::Means, means: Means::Owed, last });
    }

    /// Books the answer of an attempt that was to continue another: its endpoint is well, whatever it says.
    pub(super) fn answered(
        &mut self,
        trying: Trying,
        status: u16,
        ctx: &mut Ctx<'_>,
    ) -> (Permit, Option<Reservation>) {
        let Trying { attempt, mut permit, paid, started_at, .. } = trying;
        self.note_success(attempt, &mut permit, status, started_at, ctx);
        let held = match paid {
            Paid::Held(reservation) => Some(reservation),
            Paid::Nothing | Paid::Charge(_) => None,
        };
        (permit, held)
    }

    /// The delivered answer goes no further, and the application is to notice.
    pub(super) fn cut(&mut self, kind: BreakKind, why: NotHealed) {
        self.resuming = None;
        self.events.push(Event::AnswerCut { kind, why });
        self.actions.push(Action::Cut(kind));
        self.state = State::Over;
    }

    /// The end of a resume by its means: deadline, budget, attempts.
    pub(super) fn stop_resuming(&mut self, stop: StopReason) -> bool {
        let Some(resuming) = self.resuming else { return false };
        self.cut(resuming.kind, NotHealed::Stopped(stop));
        true
    }

    /// The application left while its answer was being continued.
    pub(super) fn leave_resuming(&mut self) -> bool {
        let Some(resuming) = self.resuming.take() else { return false };
        let (endpoint, kind) = (resuming.origin, BreakKind::ClientGone);
        self.events.push(Event::BodyFailed { endpoint, kind });
        true
    }

    /// What continued the answer brought more of it: a piece of the call's own work, and no extra.
    pub(super) fn note_progress(&mut self, ctx: &mut Ctx<'_>) {
        self.attempts.on_progress();
        ctx.upstream.budget().on_call(ctx.now);
        ctx.upstream.budget().on_first_try_success();
    }

    /// A body broke that had brought something, and is continued.
    fn note_body_break(&mut self, endpoint: EndpointId, kind: BreakKind, ctx: &Ctx<'_>) {
        self.events.push(Event::BodyFailed { endpoint, kind });
        if kind.blames_endpoint() {
            ctx.upstream.note_body_break(endpoint, ctx.now);
        }
    }

    /// A body broke, and that counts as a failure of its endpoint.
    fn note_body_failure(&mut self, endpoint: EndpointId, kind: BreakKind, ctx: &mut Ctx<'_>) {
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

    /// Whether the application has the head of an answer, whose body is on its way or to be continued.
    const fn is_delivered(&self) -> bool {
        self.is_resuming() || matches!(self.state, State::Delivered(_))
    }

    /// The row of the table for a break of this call: what breaks before any of it was delivered can be tried again.
    pub(super) fn situation(&self, what: &Break) -> Situation {
        match crate::breaks::safety::situation(what) {
            Situation::ReplyStarted if !self.is_delivered() => Situation::AnswerBroken,
            situation => situation,
        }
    }
}

/// Attempts of one call, however many of them bring progress: at 4 KiB each, a body of 100 MB. A peer that breaks off more often
/// than that needs another kind of help.
pub(super) const MOST_IN_ALL: u16 = 25_000;

/// Attempts to continue an answer without any progress: with the default backoff, about half a minute's worth.
const MOST_ATTEMPTS: u8 = 10;

/// How long it waits at most, but for chance, before it looks again for an endpoint that may be asked.
const ENDPOINT_WAIT: Duration = Duration::from_millis(500);

/// How long an attempt that continues an answer waits before it asks the budget again, twice as long at most: others prove
/// within milliseconds whether theirs are worth their price.
const OWED_WAIT: Duration = Duration::from_millis(50);
