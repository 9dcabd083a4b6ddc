//! The machine itself: news in, actions and events out.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use crate::breaks::grpc::GrpcOutcome;
use crate::breaks::safety::{Repetition, Verdict, verdict};
use crate::breaks::{Break, BreakKind, Certainty};
use crate::budget::Reservation;
use crate::check::Checked;
use crate::event::{AttemptId, DegradedBy, Event, StopReason};
use crate::line::Refused;
use crate::queue::Queue;
use crate::time::Timestamp;
use crate::upstream::{Booking, EndpointId, ScopeId, Seat, Upstream};

use super::body::{Delivered, Resuming};
use super::dark::Awaiting;
use super::ending::worse;
use super::out::{Hedge, Out};
use super::upload::Uploading;
use super::{Action, Attempts, CallFacts, CallPolicy, Ctx, Deadline, DeadlineReason, Layer, Tried};

/// One call, from `on_start` until its body has been delivered or it was given up.
///
/// News: [`on_start`](Self::on_start), [`on_upload`](Self::on_upload), [`on_body_spilled`](Self::on_body_spilled),
/// [`on_body_unrepeatable`](Self::on_body_unrepeatable), [`on_break`](Self::on_break), [`on_head`](Self::on_head),
/// [`on_grpc_outcome`](Self::on_grpc_outcome), [`on_time`](Self::on_time), [`on_cancel`](Self::on_cancel); of an answer's body
/// [`on_held`](Self::on_held) before any of it is delivered, then [`on_body_end`](Self::on_body_end),
/// [`on_body_break`](Self::on_body_break), [`on_body_part`](Self::on_body_part),
/// [`on_body_progress`](Self::on_body_progress), and while it is being continued
/// [`on_resumed`](Self::on_resumed), [`on_mismatch`](Self::on_mismatch); of a connection that had switched protocols
/// [`on_tunnel_break`](Self::on_tunnel_break); of a resumable upload
/// [`on_upload_kept`](Self::on_upload_kept), [`on_upload_later`](Self::on_upload_later),
/// [`on_upload_append`](Self::on_upload_append), [`on_upload_fault`](Self::on_upload_fault).
/// Answers, to be drained after each: [`next_action`](Self::next_action), [`next_event`](Self::next_event),
/// [`next_deadline`](Self::next_deadline).
///
/// Dropping a call frees its permit and gives a waiting reservation back.
#[derive(Debug)]
pub struct Call {
    pub(super) policy: Arc<Checked<CallPolicy>>,
    pub(super) facts: CallFacts,
    pub(super) started_at: Timestamp,
    /// When the whole call ends.
    pub(super) ends_at: Timestamp,
    pub(super) attempts: Attempts,
    pub(super) tried: Tried,
    pub(super) state: State,
    pub(super) kept: Option<Kept>,
    pub(super) worst: Certainty,
    pub(super) repeatable: bool,
    /// Whether all of the request's body is here, so that two attempts can send it at a time.
    pub(super) whole: bool,
    /// Whether it is larger than memory for it.
    pub(super) spilled: bool,
    /// How often it has lined up.
    pub(super) lined_up: u8,
    /// While it waits for a breaker to let it through.
    pub(super) awaiting: Option<Awaiting>,
    /// How long it has waited so before.
    pub(super) waited: Duration,
    /// How often the body of that answer has broken.
    pub(super) breaks: u16,
    /// Where it broke last.
    pub(super) broke_at: Option<EndpointId>,
    /// Which endpoints turned out to have another representation.
    pub(super) strangers: Option<Box<Tried>>,
    /// While the body of that answer is broken and is to be continued.
    pub(super) resuming: Option<Resuming>,
    /// While the server keeps what it has of the request's body, so that an attempt that breaks is continued.
    pub(super) upload: Option<Uploading>,
    /// How often that upload has broken.
    pub(super) upload_breaks: u16,
    /// What the attempt that has just ended leaves to one that goes on in its place.
    pub(super) seat: Option<Seat>,
    /// At most the end of each of the two attempts that can be out, an answer that is kept, and what is next. Two ends fall due at
    /// the same time, and whoever heeds the first may bring the answer that it gave before the second.
    pub(super) actions: Queue<Action, 4>,
    pub(super) events: Queue<Event, 8>,
}

/// Where a call stands.
#[derive(Debug)]
pub(super) enum State {
    New,
    Trying(Out),
    Waiting(Waiting),
    Lined(Lined),
    Delivered(Delivered),
    Over,
}

/// The next attempt starts when there is room for it.
#[derive(Debug)]
pub(super) struct Lined {
    pub(super) means: Means,
    pub(super) last: BreakKind,
}

/// What a wait is for.
#[derive(Debug)]
pub(super) enum Until {
    /// The backoff, or the hint, is over.
    Retry,
    /// The pause is over.
    Pause,
    /// The rate limit's slot has come.
    Rate(Option<Booking>),
    /// The budget is to be asked again.
    Means,
    /// The breakers are to be asked again.
    Breaker,
}

/// The next attempt starts at a time.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) until: Timestamp,
    pub(super) why: Until,
    pub(super) means: Means,
    pub(super) last: BreakKind,
}

/// An answer that is a break, kept for the case that nothing better comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) attempt: AttemptId,
    pub(super) status: u16,
}

/// What pays for an attempt.
#[derive(Debug)]
pub(super) enum Means {
    /// The first attempt, and a repeat of what was never sent, cost nothing.
    Free,
    /// Tokens that were set aside.
    Reserved(Reservation),
    /// The budget is asked when it starts.
    Owed,
}

impl Call {
    /// A call under `policy` that starts at `now`.
    #[must_use]
    pub fn new(policy: Arc<Checked<CallPolicy>>, facts: CallFacts, now: Timestamp) -> Self {
        Self {
            started_at: now,
            ends_at: now + facts.time_left.unwrap_or(Duration::MAX).min(policy.total_timeout),
            policy,
            facts,
            attempts: Attempts::default(),
            tried: Tried::default(),
            state: State::New,
            kept: None,
            worst: Certainty::NotSent,
            repeatable: true,
            whole: !facts.has_body,
            spilled: false,
            lined_up: 0,
            awaiting: None,
            waited: Duration::ZERO,
            breaks: 0,
            broke_at: None,
            strangers: None,
            resuming: None,
            upload: None,
            upload_breaks: 0,
            seat: None,
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
        if self.is_hopeless(Duration::ZERO, ctx) {
            return self.stop(
                BreakKind::DeadlineExceeded,
                StopReason::DeadlineTooClose,
                None,
                None,
                ctx,
            );
        }
        if !ctx.upstream.gate().admits(ctx.now, ctx.chance) {
            return self.shed(BreakKind::LimitReached, StopReason::SelfThrottled, None, ctx);
        }
        self.attempt(Means::Free, BreakKind::NoEndpoint, ctx);
    }

    /// It is this call's turn in the line that [`Action::Line`] had it wait in, and it has a seat.
    pub fn on_turn(&mut self, seat: Seat, ctx: &mut Ctx<'_>) {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Lined(Lined { means, last }) => self.pick(means, last, seat, ctx),
            other => self.state = other,
        }
    }

    /// The call doesn't wait in line, or not any more.
    pub fn on_turned_away(&mut self, why: Refused, ctx: &mut Ctx<'_>) {
        let State::Lined(Lined { last, .. }) = &self.state else { return };
        let stop = match why {
            Refused::Full => StopReason::LineFull,
            Refused::PushedOut => StopReason::PushedOut,
            Refused::CannotMakeIt => StopReason::DeadlineTooClose,
        };
        self.shed(*last, stop, None, ctx);
    }

    /// The request's body last moved at `moved_at`, so the attempt that sends it is alive. Tell it before [`Call::on_time`].
    ///
    /// The call's own deadline gives way too where the body is larger than memory for it, whether or not it is kept
    /// elsewhere: the deadline bounds waits and retries, not the size of an upload.
    pub fn on_upload(&mut self, moved_at: Timestamp) {
        let State::Trying(out) = &mut self.state else { return };
        let ends_at = out.moved(moved_at, self.policy.attempt_timeout);
        if self.spilled || !self.repeatable || self.upload.is_some() {
            self.ends_at = self.ends_at.max(ends_at);
        }
    }

    /// All of the request's body is here, kept for replay: two attempts can send it at a time. Tell it before
    /// [`Call::on_time`].
    pub fn on_body_whole(&mut self) {
        self.whole = self.repeatable;
    }

    /// The request's body has outgrown memory, and can be sent again all the same. Tell it before [`Call::on_upload`].
    pub fn on_body_spilled(&mut self) {
        self.spilled = true;
    }

    /// The request's body can't be sent a second time: too large to keep, or broken at its source.
    pub fn on_body_unrepeatable(&mut self) {
        if self.repeatable {
            (self.repeatable, self.whole) = (false, false);
            self.events.push(Event::BodyUnrepeatable);
        }
    }

    /// An attempt broke.
    pub fn on_break(&mut self, attempt: AttemptId, what: Break, ctx: &mut Ctx<'_>) {
        let Some((trying, other)) = self.take_trying(attempt) else { return };
        let dead = trying.dead_connection(&what, self.attempts.repeats());
        let mut permit = self.close_attempt(trying, what, ctx);
        let seat = permit.leave_seat();
        drop(permit);
        match other {
            // The other one is the retry, and is paid for.
            Some(other) => self.state = State::Trying(Out::alone(other)),
            None => {
                self.seat = seat;
                self.decide(what, dead, None, ctx);
                self.seat = None;
            }
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

    /// The outcome of a gRPC call arrived before any message of it: in a head that is all of the answer (Trailers-Only), or in
    /// trailers behind a head that is held back.
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
        let Some((trying, other)) = self.take_trying(attempt) else { return };
        // What is told here is the answer of the call.
        self.upload = None;
        match broken {
            None => {
                debug_assert!(
                    !self.is_resuming(),
                    "whether it continues the answer wasn't looked at"
                );
                if let Some(other) = other {
                    self.outrun(other, ctx);
                }
                self.deliver_success(trying, status, ctx);
            }
            // An answer is with the application already; this one only says how the endpoint is.
            Some(what) if self.is_resuming() => {
                drop(self.close_attempt(trying, what, ctx));
                self.decide(what, None, None, ctx);
            }
            Some(what) => {
                let permit = self.close_attempt(trying, what, ctx);
                let kept = Kept { attempt, status };
                if let Some(other) = other {
                    self.keep(kept);
                    self.state = State::Trying(Out::alone(other));
                    return;
                }
                let answer = Some((kept, permit));
                if forbids_retry {
                    return self.stop(what.kind, StopReason::PushedBack, None, answer, ctx);
                }
                self.decide(what, None, answer, ctx);
            }
        }
    }

    /// The call has failed, or was to deliver a broken attempt's own answer, and the application gets something else in its
    /// place. That is the end of it.
    pub fn on_degraded(&mut self, by: DegradedBy, status: u16) {
        debug_assert!(matches!(self.state, State::Delivered(_) | State::Over));
        self.events.push(Event::CallDegraded { by, status });
        self.state = State::Over;
    }

    /// Time has passed.
    pub fn on_time(&mut self, ctx: &mut Ctx<'_>) {
        match &mut self.state {
            State::Trying(out) => {
                out.end_due(self.ends_at, ctx.now).for_each(|action| self.actions.push(action));
                if out.is_hedge_due(ctx.now) {
                    self.hedge(ctx);
                }
            }
            State::Waiting(waiting) if ctx.now >= waiting.until => self.end_wait(ctx),
            State::Lined(_) if ctx.now >= self.ends_at => {
                self.stop(BreakKind::DeadlineExceeded, StopReason::DeadlinePassed, None, None, ctx);
            }
            State::New
            | State::Waiting(_)
            | State::Lined(_)
            | State::Delivered(_)
            | State::Over => {}
        }
    }

    /// The application went away.
    pub fn on_cancel(&mut self, ctx: &mut Ctx<'_>) {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Trying(Out { main, hedge }) => {
                self.cancel(&main);
                if let Hedge::Out(hedge) = hedge {
                    self.cancel(&hedge);
                }
                if !self.leave_resuming() {
                    self.worst = worse(self.worst, Certainty::MaybeProcessed);
                    self.note_failure(BreakKind::ClientGone, ctx);
                }
            }
            State::New | State::Waiting(_) | State::Lined(_) => {
                self.end_await(false, ctx.now);
                if !self.leave_resuming() {
                    self.note_failure(BreakKind::ClientGone, ctx);
                }
            }
            State::Delivered(Delivered { permit, .. }) => {
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

    /// When it began.
    #[must_use]
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

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
            State::Trying(out) => out.next_deadline(self.ends_at),
            State::Waiting(waiting) => {
                let why = match waiting.why {
                    Until::Retry => DeadlineReason::Backoff,
                    Until::Pause | Until::Rate(_) | Until::Means | Until::Breaker => {
                        DeadlineReason::Held
                    }
                };
                Some(Deadline { at: waiting.until, why })
            }
            State::Lined(_) => Some(Deadline { at: self.ends_at, why: DeadlineReason::Call }),
            State::New | State::Delivered(_) | State::Over => None,
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether news of this attempt is still awaited. Of one that another attempt was faster than, none is.
    #[must_use]
    pub fn is_out(&self, attempt: AttemptId) -> bool {
        matches!(&self.state, State::Trying(out) if out.has(attempt))
    }

    /// How far the request may have got, at worst, in the attempts that broke.
    #[must_use]
    pub const fn worst(&self) -> Certainty {
        self.worst
    }

    /// How many attempts were made.
    #[must_use]
    pub const fn attempts(&self) -> u16 {
        self.attempts.made()
    }

    /// How much time the peer of an attempt at `endpoint` has for its answer: what is left of the attempt and of the call,
    /// less the round trip. To be told to it.
    #[must_use]
    pub fn time_left(&self, endpoint: EndpointId, upstream: &Upstream, now: Timestamp) -> Duration {
        let ends_at = match &self.state {
            State::Trying(out) => out.ends_at(endpoint).min(self.ends_at),
            State::New
            | State::Waiting(_)
            | State::Lined(_)
            | State::Delivered(_)
            | State::Over => self.ends_at,
        };
        ends_at.since(now).saturating_sub(upstream.round_trip(endpoint))
    }

    /// What the attempt that is out says of itself to the layers below.
    #[must_use]
    pub fn layer(&self) -> Layer {
        match self.facts.layer {
            // The layer above does the trying for all of us, so they are to see its word.
            Some(above) if above.will_retry() => {
                Layer { depth: above.depth.saturating_add(1), ..above }
            }
            above => Layer {
                attempt: self.attempts.counted(),
                of: self.policy.retry.max_attempts.count(),
                depth: above.map_or(0, |above| above.depth).saturating_add(1),
            },
        }
    }

    /// When the call's deadline is.
    #[must_use]
    pub const fn deadline_at(&self) -> Timestamp {
        self.ends_at
    }

    /// What the table says of a break of this call, before attempts, budget and deadline are asked. For records.
    #[must_use]
    pub fn verdict(&self, what: &Break) -> Verdict {
        if self.can_continue_upload() {
            return Verdict::ContinueUpload;
        }
        verdict(self.situation(what), self.facts.repetition, self.policy.retry.repeat_refused)
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
