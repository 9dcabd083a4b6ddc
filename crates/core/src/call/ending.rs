//! The end of a call: an answer is delivered, or it is given up.

use core::time::Duration;

use crate::breaks::{BreakKind, Certainty};
use crate::event::{Event, Saved, StopReason};
use crate::time::Timestamp;
use crate::upstream::Permit;

use super::body::Delivered;
use super::machine::{Call, Kept, State};
use super::{Action, Ctx, GaveUp};

impl Call {
    /// No more attempts: deliver the last real answer if there is one, else give up.
    pub(super) fn stop(
        &mut self,
        kind: BreakKind,
        stop: StopReason,
        retry_after: Option<Duration>,
        answer: Option<(Kept, Permit)>,
        ctx: &mut Ctx<'_>,
    ) {
        if self.stop_resuming(stop) {
            return;
        }
        self.stop_upload(ctx);
        self.end_await(false, ctx.now);
        if self.attempts.made() > 0 {
            self.events.push(Event::RetryRefused { reason: stop });
        } else if stop.is_shed() {
            self.events.push(Event::CallShed { reason: stop });
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

    pub(super) fn deliver(
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
        self.attempts.on_progress();
        self.state = State::Delivered(Delivered { permit, held: None, moved: false });
    }

    pub(super) fn note_failure(&mut self, kind: BreakKind, ctx: &Ctx<'_>) {
        self.events.push(Event::CallFailed {
            kind,
            certainty: self.worst,
            attempts: self.attempts.made(),
            took: ctx.now.since(self.started_at),
        });
    }
}

/// The worse of two certainties: the one that leaves more open about what was done.
pub(super) const fn worse(a: Certainty, b: Certainty) -> Certainty {
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
