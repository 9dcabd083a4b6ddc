//! The body of the request in a resumable upload: what the server has of it is asked for where an attempt breaks, and the rest
//! is appended.
//!
//! ```text
//!      on_upload_kept          on_break, on_upload_later              on_upload_append           on_head
//!   trying ──────▶ trying ──────────────────────────────▶ the offset ──────────────────▶ the rest ──────▶ delivered
//!                    │ ▲                                       │ ▲                           │
//!                    │ └─────────────── on_upload_fault: by the table, from the beginning ───┤
//!                    ▼                                         ▼ └───────────────────────────┘
//!                   over                              over: means, time        on_break, on_upload_later
//! ```
//!
//! Whoever drives the call keeps the upload itself ([`heal::upload`](crate::heal::upload)), and tells what came of its steps.
//! What continues an upload is an attempt like any other, and paid for as what continues an answer is (`body`): the offset and
//! the rest together have one price, which is given back once the server has more than it said before. It goes to the endpoint
//! where the upload is, and nowhere else. Only a request that may be done twice is begun again elsewhere, where that endpoint
//! can't be asked.

use core::time::Duration;

use crate::breaks::{Break, BreakKind, Certainty};
use crate::budget::Reservation;
use crate::event::{AttemptId, Event, Held, StopReason};
use crate::heal::upload::Fault;
use crate::heal::{NotHealed, Progress};
use crate::retry::backoff;
use crate::time::Timestamp;
use crate::upstream::{EndpointId, Permit};

use super::Ctx;
use super::body::MOST_IN_ALL;
use super::ending::worse;
use super::machine::{Call, Kept, Means, State};

/// An upload that the server keeps.
#[derive(Debug)]
pub(super) struct Uploading {
    /// Where it is.
    at: EndpointId,
    /// What broke last.
    kind: BreakKind,
    since: Timestamp,
    /// Whether what is out, or next, asks how much the server has; else it brings more.
    asks: bool,
    /// The price of what broke, until it is known whether anything of it arrived.
    owed: Option<Reservation>,
    /// Whether its endpoint is to be blamed for that, unless something arrived.
    blames: bool,
    /// What it is told to wait for, since it was told once.
    pub(super) told: Option<Held>,
}

impl Uploading {
    /// What was out broke, and this is its price.
    pub(super) fn owe(&mut self, price: Reservation, now: Timestamp) {
        if self.asks {
            drop(price.charge(now));
        } else {
            self.owed = Some(price);
        }
    }

    /// Whether anything arrived of what broke is known.
    fn settle(&mut self, moved: bool, now: Timestamp) {
        match self.owed.take() {
            Some(price) if !moved => drop(price.charge(now)),
            Some(_) | None => {}
        }
    }
}

impl Call {
    // ---- news -------------------------------------------------------------------------------------------------

    /// The server keeps what it gets of the request's body, and will say how much it has: an upload resource is known. What
    /// breaks from here on is continued. Tell it before what came of the attempt.
    pub fn on_upload_kept(&mut self, attempt: AttemptId) {
        let State::Trying(out) = &self.state else { return };
        let is_wanted = self.policy.resumable_upload.is_some() && out.main.attempt == attempt;
        if is_wanted && self.upload.is_none() {
            self.upload = Some(Uploading {
                at: out.main.permit.endpoint(),
                kind: BreakKind::ServerError,
                since: out.main.started_at,
                asks: false,
                owed: None,
                blames: false,
                told: None,
            });
        }
    }

    /// An answer that isn't that of the call: the server is to be asked (again) how much it has. `retry_after`: its hint, if it
    /// has one.
    pub fn on_upload_later(
        &mut self,
        attempt: AttemptId,
        status: u16,
        retry_after: Option<Duration>,
        ctx: &mut Ctx<'_>,
    ) {
        let asks = self.upload.as_ref().is_some_and(|upload| upload.asks);
        let Some((trying, _)) = self.take_trying(attempt) else { return };
        if let Some(what) = self.broken_answer(status, retry_after) {
            let permit = self.close_attempt(trying, what, ctx);
            // What was said of the offset is no answer to the application.
            let answer = (!asks).then_some((Kept { attempt, status }, permit));
            return self.decide(what, None, answer, ctx);
        }
        let (permit, price) = self.answered(trying, status, ctx);
        drop(permit);
        if self.is_body_lost() {
            return self.give_up_upload(price, BODY_LOST, ctx);
        }
        let Some(upload) = &mut self.upload else {
            debug_assert!(false, "there is no upload");
            return self.stop(BreakKind::ServerError, StopReason::OutcomeUnknown, None, None, ctx);
        };
        if let Some(price) = price {
            upload.owe(price, ctx.now);
        }
        let kind = upload.kind;
        self.note_upload_break(kind, ctx);
        self.ask_for_offset(kind, retry_after, ctx);
    }

    /// An answer that says that the rest is to be sent, from `from` on: `brought` bytes more than the server said before.
    pub fn on_upload_append(
        &mut self,
        attempt: AttemptId,
        status: u16,
        (from, brought): (u64, u64),
        ctx: &mut Ctx<'_>,
    ) {
        let Some((trying, _)) = self.take_trying(attempt) else { return };
        let (permit, price) = self.answered(trying, status, ctx);
        let endpoint = permit.endpoint();
        drop(permit);
        if self.is_body_lost() {
            return self.give_up_upload(price, BODY_LOST, ctx);
        }
        let Some(upload) = &mut self.upload else {
            debug_assert!(false, "there is no upload");
            return self.stop(BreakKind::ServerError, StopReason::OutcomeUnknown, None, None, ctx);
        };
        let moved = Progress::of_download().on_bytes(brought);
        let (kind, asked) = (upload.kind, core::mem::replace(&mut upload.asks, false));
        let means = match price {
            // One price for the question and for what follows from its answer.
            Some(price) if asked => Means::Reserved(price),
            Some(price) => {
                upload.owed = Some(price);
                Means::Free
            }
            None => Means::Free,
        };
        upload.settle(moved, ctx.now);
        let blames = core::mem::take(&mut upload.blames);
        // An endpoint that takes an upload in pieces does take it, and isn't to be left alone for that.
        if blames && moved {
            ctx.upstream.note_body_break(endpoint, ctx.now);
        } else if blames
            && let Some(event) =
                ctx.upstream.note_body_failure(endpoint, self.policy.scope, ctx.now, ctx.chance)
        {
            self.events.push(event);
        }
        if asked {
            let took = ctx.now.since(upload.since);
            self.events.push(Event::UploadResumed { attempt, endpoint, from, took });
        }
        if moved {
            self.note_progress(ctx);
            self.give_upload_time(ctx);
        }
        if self.attempts.made() >= MOST_IN_ALL || self.attempts_used() {
            return self.stop(kind, StopReason::AttemptsUsed, None, None, ctx);
        }
        self.attempt(means, kind, ctx);
    }

    /// An answer that says, or shows, that the upload can't be continued. What is done now is for the table of retry safety:
    /// it proves nothing about what was done.
    pub fn on_upload_fault(
        &mut self,
        attempt: AttemptId,
        status: u16,
        why: Fault,
        ctx: &mut Ctx<'_>,
    ) {
        let Some((trying, _)) = self.take_trying(attempt) else { return };
        let price = match self.broken_answer(status, None) {
            Some(what) => {
                drop(self.close_attempt(trying, what, ctx));
                None
            }
            None => self.answered(trying, status, ctx).1,
        };
        self.give_up_upload(price, NotHealed::Unproven(why.code()), ctx);
    }

    // ---- answers ----------------------------------------------------------------------------------------------

    /// Whether the attempt that is out, or the next, goes on with an upload that the server keeps; else it begins one.
    #[must_use]
    pub const fn continues_upload(&self) -> bool {
        self.upload.is_some()
    }

    // ---- how --------------------------------------------------------------------------------------------------

    /// Whether what breaks now is continued: the server keeps its part, and we have the rest.
    pub(super) const fn can_continue_upload(&self) -> bool {
        self.upload.is_some() && self.repeatable
    }

    /// Whether a break says nothing of its endpoint yet: it is known as one when it is known how much arrived.
    pub(super) fn withholds_blame(&mut self, what: &Break) -> bool {
        let can_continue = self.can_continue_upload();
        let Some(upload) = &mut self.upload else { return false };
        let withholds = can_continue && !upload.asks && what.status.is_none();
        upload.blames |= withholds;
        withholds
    }

    /// Where the upload is.
    pub(super) fn upload_at(&self) -> Option<EndpointId> {
        self.upload.as_ref().map(|upload| upload.at)
    }

    /// An attempt of the upload broke.
    pub(super) fn continue_upload(
        &mut self,
        what: Break,
        dead: Option<EndpointId>,
        answer: Option<(Kept, Permit)>,
        ctx: &mut Ctx<'_>,
    ) {
        let asked = self.upload.as_ref().is_some_and(|upload| upload.asks);
        self.note_upload_break(what.kind, ctx);
        if dead.is_some() && ctx.now < self.ends_at && self.move_on(dead, ctx).is_ok() {
            return;
        }
        let is_away = asked && what.certainty == Certainty::NotSent;
        if is_away && self.may_begin_upload_anew(ctx) {
            return self.begin_upload_anew(what.kind, ctx);
        }
        if let Some((kept, _)) = answer {
            self.keep(kept);
        }
        self.ask_for_offset(what.kind, what.retry_after, ctx);
    }

    /// What is next asks for the offset. What brings nothing but an offset has no time of its own.
    fn note_upload_break(&mut self, kind: BreakKind, ctx: &Ctx<'_>) {
        let Some(upload) = &mut self.upload else { return };
        upload.kind = kind;
        if !core::mem::replace(&mut upload.asks, true) {
            upload.since = ctx.now;
            self.upload_breaks = self.upload_breaks.saturating_add(1);
            self.give_upload_time(ctx);
        }
    }

    fn give_upload_time(&mut self, ctx: &Ctx<'_>) {
        if let Some(settings) = &self.policy.resumable_upload {
            self.ends_at = self.ends_at.max(ctx.now + settings.within);
        }
    }

    fn ask_for_offset(&mut self, kind: BreakKind, hint: Option<Duration>, ctx: &mut Ctx<'_>) {
        if self.attempts.made() >= MOST_IN_ALL || self.attempts_used() {
            return self.stop(kind, StopReason::AttemptsUsed, hint, None, ctx);
        }
        let own = self.attempts.wait(&self.policy.retry, false, ctx.chance);
        let (delay, hinted) = match hint {
            Some(hint) => (backoff::wait_after_hint(hint, own, ctx.chance), true),
            None => (own, false),
        };
        if self.is_hopeless(delay, ctx) {
            let stop = if ctx.now >= self.ends_at {
                StopReason::DeadlinePassed
            } else {
                StopReason::DeadlineTooClose
            };
            return self.stop(kind, stop, hint, None, ctx);
        }
        self.wait(delay, hinted, Means::Owed, kind, ctx.now);
    }

    /// Whether all of it may be sent again, and elsewhere.
    pub(super) fn may_begin_upload_anew(&self, ctx: &Ctx<'_>) -> bool {
        self.can_continue_upload()
            && self.facts.repetition.is_idempotent()
            && ctx.upstream.settings().endpoints.len() > 1
    }

    /// Where the upload is nobody can be asked: it is begun again by the table, as if nothing were kept.
    pub(super) fn begin_upload_anew(&mut self, kind: BreakKind, ctx: &mut Ctx<'_>) {
        self.leave_upload(NotHealed::Stopped(StopReason::NoEndpoint), ctx);
        self.decide(Break::new(kind, Certainty::MaybeProcessed), None, None, ctx);
    }

    /// Whether the server keeps its part, and we don't have the rest.
    const fn is_body_lost(&self) -> bool {
        self.upload.is_some() && !self.repeatable
    }

    /// It can't go on. What is done now is for the table of retry safety. `price`: of the attempt that showed it.
    fn give_up_upload(&mut self, price: Option<Reservation>, why: NotHealed, ctx: &mut Ctx<'_>) {
        if let Some(price) = price {
            drop(price.charge(ctx.now));
        }
        let kind = self.upload.as_ref().map_or(BreakKind::ServerError, |upload| upload.kind);
        self.worst = worse(self.worst, Certainty::MaybeProcessed);
        self.leave_upload(why, ctx);
        self.decide(Break::new(kind, Certainty::MaybeProcessed), None, None, ctx);
    }

    fn leave_upload(&mut self, why: NotHealed, ctx: &Ctx<'_>) {
        self.stop_upload(ctx);
        self.events.push(Event::UploadNotResumed { why });
    }

    /// No attempt follows that continues the upload.
    pub(super) fn stop_upload(&mut self, ctx: &Ctx<'_>) {
        if let Some(mut upload) = self.upload.take() {
            upload.settle(false, ctx.now);
        }
    }
}

/// What the server doesn't have of the body isn't kept any more, so that nothing can be appended.
const BODY_LOST: NotHealed = NotHealed::Stopped(StopReason::Unrepeatable);
