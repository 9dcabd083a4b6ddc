//! What follows from the end of a call that was made for a stored write.

use core::time::Duration;

use super::{ScheduleSettings, WallTime};
use crate::breaks::safety::{Repetition, Situation, situation};
use crate::breaks::{Break, BreakKind, Certainty, StatusSet};
use crate::chance::Chance;
use crate::retry::backoff;

/// What makes it right to send a write a second time after it may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assurance {
    /// The method itself (PUT, DELETE), the caller's own idempotency key, or the route says so.
    Repeatable,
    /// Nothing does. A key was minted, but nobody says that the API heeds it.
    None,
}

impl Assurance {
    /// Derives it. `keys_count`: whether the route says that its API carries out a key's request once only, so that a minted
    /// key is as good as the caller's.
    #[must_use]
    pub const fn of(repetition: Repetition, keys_count: bool) -> Self {
        if repetition.is_idempotent() || keys_count { Self::Repeatable } else { Self::None }
    }
}

/// How a call ended that was made for a stored write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// With an answer, of which the head is here.
    Answered {
        /// Its status.
        status: u16,
        /// When it says to come back, if it does.
        hint: Option<Duration>,
        /// Whether an earlier attempt of the same call may have carried the write out.
        maybe_done: bool,
        /// What became of its body.
        body: AnswerBody,
    },
    /// Without one.
    Broken {
        /// What broke last.
        kind: BreakKind,
        /// How far the request may have got, at worst.
        certainty: Certainty,
        /// When it is worth coming back, if that is known.
        hint: Option<Duration>,
    },
}

/// What became of the body of an answer to a stored write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// It is passed on to whoever waits for it, and isn't read here.
    PassedOn,
    /// It is here as a whole.
    Whole,
    /// It is larger than is kept.
    TooLarge,
    /// It broke before its end.
    Broken(BreakKind),
}

impl AnswerBody {
    /// Why nothing of it is kept, as a code: part of an answer isn't one.
    #[must_use]
    pub const fn incomplete(self) -> Option<&'static str> {
        match self {
            Self::PassedOn | Self::Whole => None,
            Self::TooLarge => Some("too-large"),
            Self::Broken(kind) => Some(kind.code()),
        }
    }
}

impl CallEnd {
    /// Whether it was the upstream's own protection that sent nothing.
    #[must_use]
    pub const fn is_own_refusal(&self) -> bool {
        match self {
            Self::Answered { .. } => false,
            Self::Broken { kind, certainty, .. } => {
                matches!(certainty, Certainty::NotSent)
                    && matches!(
                        kind,
                        BreakKind::BreakerOpen
                            | BreakKind::BudgetEmpty
                            | BreakKind::NoEndpoint
                            | BreakKind::LimitReached
                    )
            }
        }
    }

    /// Whether the write may have been carried out, for all that is known.
    #[must_use]
    pub const fn may_have_done_it(&self) -> bool {
        match self {
            Self::Answered { status, maybe_done, .. } => {
                *maybe_done || *status >= 500 || *status == 409
            }
            Self::Broken { certainty, .. } => {
                matches!(certainty, Certainty::MaybeProcessed | Certainty::Processed)
            }
        }
    }
}

/// A stored write, as far as it matters to what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Calls made for it, this one included.
    pub calls: u16,
    /// Whether an earlier one may have carried it out.
    pub maybe_done: bool,
    /// When it is given up.
    pub expires_at: WallTime,
    /// Whether it may be done twice.
    pub assurance: Assurance,
}

/// What becomes of a stored write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The API has answered: it is delivered, and the answer is kept.
    Delivered,
    /// It is tried again.
    Again {
        /// Not before then.
        at: WallTime,
        /// Whether the call counts. One that the upstream's own protection refused doesn't.
        counts: bool,
        /// Until when nothing else goes to this destination, if that is known.
        hold_until: Option<WallTime>,
    },
    /// A person has to look at it, and the writes behind it in its lane wait.
    Stopped(StoppedReason),
    /// It is given up, and kept as a dead letter.
    Dead(DeadReason),
}

impl Next {
    /// Whether a call that was made counts as one of the write's.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Again { counts: false, .. })
    }

    /// Until when the upstream itself asked to be left alone: that outlives the process, and holds for whoever else calls it. What its own
    /// protection says doesn't.
    #[must_use]
    pub const fn asked_hold(self) -> Option<WallTime> {
        match self {
            Self::Again { counts: true, hold_until, .. } => hold_until,
            Self::Again { .. } | Self::Delivered | Self::Stopped(_) | Self::Dead(_) => None,
        }
    }
}

/// Why a write waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoppedReason {
    /// It may have been done, and nothing makes it right to do it twice.
    MaybeDone,
    /// No route of the config takes it any more.
    NoRoute,
    /// What is stored isn't what was accepted: it failed its checksum, or its key is gone.
    Damaged,
}

/// Why a write was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The API refused it as it is; the same request will be refused again.
    Rejected,
    /// It became too old.
    Expired,
    /// As many calls were made as are allowed.
    Exhausted,
    /// A person dropped it.
    Dropped,
}

impl StoppedReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::MaybeDone, Self::NoRoute, Self::Damaged];

    /// A stable name for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MaybeDone => "maybe-done",
            Self::NoRoute => "no-route",
            Self::Damaged => "damaged",
        }
    }
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Rejected, Self::Expired, Self::Exhausted, Self::Dropped];

    /// A stable name for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
            Self::Dropped => "dropped",
        }
    }
}

/// The fork: what becomes of a write after a call.
///
/// | the call ended with | next |
/// |---|---|
/// | 2xx, 303, whatever becomes of the body behind it | delivered |
/// | any other 3xx or 4xx | dead: `rejected` |
/// | 429, 503 with `Retry-After`, 408, 421, 425 | again, never before the hint |
/// | 409, where an earlier call may still be at it | again |
/// | 5xx, reset, timeout: it may have been done | again where it may be done twice, else stopped |
/// | refused or not sent | again |
/// | breaker, budget, limit: nothing was even tried | again, uncounted; the destination is held |
///
/// A write that was turned away (429, or 503 with `Retry-After`) goes again even where nothing makes a repetition right:
/// whoever asks to be asked later says that it hasn't done it. The table for direct calls leaves that to the application; here
/// the application has handed it over.
#[must_use]
pub fn after_call(
    settings: &ScheduleSettings,
    standing: &Standing,
    end: CallEnd,
    now: WallTime,
    chance: &mut Chance,
) -> Next {
    let broke = match broke(standing, end) {
        Ok(broke) => broke,
        Err(next) => return next,
    };
    let hint = broke.retry_after;
    if end.is_own_refusal() {
        let at = now.after(hint.unwrap_or(HELD_FOR).max(HELD_LEAST));
        return within_age(standing, at, now, |at| Next::Again {
            at,
            counts: false,
            hold_until: Some(at),
        });
    }
    let may_go = match situation(&broke) {
        Situation::NotSent | Situation::Refused | Situation::TurnedAway => true,
        Situation::MaybeProcessed | Situation::AnswerBroken | Situation::ReplyStarted => {
            standing.assurance == Assurance::Repeatable
        }
    };
    if !may_go {
        return Next::Stopped(StoppedReason::MaybeDone);
    }
    if standing.calls >= settings.max_calls {
        return Next::Dead(DeadReason::Exhausted);
    }
    if hint.is_some_and(|hint| now.after(hint) > standing.expires_at) {
        // It would be too old by then, and sooner nobody wants it.
        return Next::Dead(DeadReason::Expired);
    }
    let own = settings.wait(standing.calls, chance);
    let wait = hint.map_or(own, |hint| backoff::wait_after_hint(hint, own, chance));
    // Who was turned away by a rate limit isn't alone in that: it is the destination's, not this write's.
    let hold_until =
        hint.filter(|_| broke.kind == BreakKind::Throttled).map(|hint| now.after(hint));
    within_age(standing, now.after(wait), now, |at| Next::Again { at, counts: true, hold_until })
}

/// What broke, or what follows from an answer that tells it all.
fn broke(standing: &Standing, end: CallEnd) -> Result<Break, Next> {
    match end {
        CallEnd::Broken { kind, certainty, hint } => {
            Ok(Break { retry_after: hint, ..Break::new(kind, certainty) })
        }
        CallEnd::Answered { status, hint, maybe_done, body } => {
            let told = |kind, certainty| Break { retry_after: hint, ..Break::new(kind, certainty) };
            match status {
                200..=299 | 303 => match body {
                    AnswerBody::PassedOn | AnswerBody::Whole => Err(Next::Delivered),
                    // The head says that it is done: a call more for the sake of the body would do it again.
                    AnswerBody::TooLarge | AnswerBody::Broken(_) => Err(Next::Delivered),
                },
                // The server gave up waiting for the request (RFC 9110, section 15.5.9): it hasn't got it.
                408 => Ok(told(BreakKind::RefusedStatus, Certainty::Refused)),
                // The first request with this key is still being worked on (draft-ietf-httpapi-idempotency-key-header).
                409 if standing.maybe_done || maybe_done => {
                    Ok(told(BreakKind::ServerError, Certainty::MaybeProcessed))
                }
                _ => Break::of_status(status, hint, &StatusSet::DEFAULT)
                    .ok_or(Next::Dead(DeadReason::Rejected)),
            }
        }
    }
}

/// `then` at this time, or dead if it is too old by then.
fn within_age(
    standing: &Standing,
    at: WallTime,
    now: WallTime,
    then: impl FnOnce(WallTime) -> Next,
) -> Next {
    if now >= standing.expires_at {
        return Next::Dead(DeadReason::Expired);
    }
    // The last call is made before it is too old, not after.
    then(at.min(standing.expires_at))
}

/// How long a destination is held whose protection doesn't say until when.
const HELD_FOR: Duration = Duration::from_secs(1);

/// A hint of "at once" would make a loop of it.
const HELD_LEAST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_000_000);
    const UNSAFE: Standing = Standing {
        calls: 1,
        maybe_done: false,
        expires_at: WallTime(NOW.0 + 3_600_000),
        assurance: Assurance::None,
    };
    const SAFE: Standing = Standing { assurance: Assurance::Repeatable, ..UNSAFE };

    fn after(standing: &Standing, end: CallEnd) -> Next {
        after_call(&ScheduleSettings::default(), standing, end, NOW, &mut Chance::from_seed(7))
    }

    fn answered(status: u16) -> CallEnd {
        CallEnd::Answered { status, hint: None, maybe_done: false, body: AnswerBody::Whole }
    }

    fn broken(kind: BreakKind, certainty: Certainty) -> CallEnd {
        CallEnd::Broken { kind, certainty, hint: None }
    }

    fn is_counted_again(next: Next) -> bool {
        matches!(next, Next::Again { counts: true, hold_until: None, at } if at > NOW)
    }

    #[test]
    fn an_answer_that_means_success_ends_it() {
        for status in [200, 201, 202, 204, 299, 303] {
            assert_eq!(after(&UNSAFE, answered(status)), Next::Delivered, "{status}");
        }
    }

    #[test]
    fn a_head_counts_whatever_becomes_of_the_body() {
        let bodies = [
            (AnswerBody::PassedOn, None),
            (AnswerBody::Whole, None),
            (AnswerBody::TooLarge, Some("too-large")),
            (AnswerBody::Broken(BreakKind::BodyReset), Some(BreakKind::BodyReset.code())),
        ];
        let wanted = [
            (200, Next::Delivered),
            (404, Next::Dead(DeadReason::Rejected)),
            (500, Next::Stopped(StoppedReason::MaybeDone)),
        ];
        for (body, incomplete) in bodies {
            assert_eq!(body.incomplete(), incomplete);
            for (status, wanted) in wanted {
                let end = CallEnd::Answered { status, hint: None, maybe_done: false, body };
                assert_eq!(after(&UNSAFE, end), wanted, "{status}, {body:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_will_be_the_same_tomorrow_makes_a_dead_letter() {
        for status in [301, 307, 308, 400, 401, 404, 409, 410, 413, 422, 451] {
            let next = after(&SAFE, answered(status));
            assert_eq!(next, Next::Dead(DeadReason::Rejected), "{status}");
        }
    }

    #[test]
    fn what_was_turned_away_goes_again_whatever_it_is() {
        for standing in [UNSAFE, SAFE] {
            for status in [408, 421, 425, 429] {
                assert!(is_counted_again(after(&standing, answered(status))), "{status}");
            }
        }
    }

    #[test]
    fn a_rate_limit_holds_the_destination_and_is_obeyed_in_full() {
        let hint = Duration::from_secs(1800);
        for status in [429, 503] {
            let end = CallEnd::Answered {
                status,
                hint: Some(hint),
                maybe_done: false,
                body: AnswerBody::Whole,
            };
            let Next::Again { at, counts, hold_until } = after(&UNSAFE, end) else {
                panic!("{status}")
            };
            assert!(counts && at >= NOW.after(hint));
            assert_eq!(hold_until, Some(NOW.after(hint)));
        }
    }

    #[test]
    fn what_may_have_been_done_waits_for_a_person_unless_it_may_be_done_twice() {
        let ends = [
            answered(500),
            answered(503),
            broken(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
            broken(BreakKind::BodyReset, Certainty::Processed),
        ];
        for end in ends {
            assert_eq!(after(&UNSAFE, end), Next::Stopped(StoppedReason::MaybeDone), "{end:?}");
            assert!(is_counted_again(after(&SAFE, end)), "{end:?}");
        }
    }

    #[test]
    fn what_was_not_sent_goes_again() {
        for certainty in [Certainty::NotSent, Certainty::Refused] {
            let end = broken(BreakKind::ConnectRefused, certainty);
            assert!(is_counted_again(after(&UNSAFE, end)));
        }
    }

    #[test]
    fn a_conflict_with_an_earlier_call_is_waited_out() {
        let standing = Standing { maybe_done: true, ..SAFE };
        assert!(is_counted_again(after(&standing, answered(409))));
    }

    #[test]
    fn a_conflict_with_an_attempt_of_the_same_call_is_waited_out_too() {
        let end = CallEnd::Answered {
            status: 409,
            hint: None,
            maybe_done: true,
            body: AnswerBody::Whole,
        };
        assert!(is_counted_again(after(&SAFE, end)));
        assert!(end.may_have_done_it());
        let throttled = CallEnd::Answered {
            status: 429,
            hint: None,
            maybe_done: true,
            body: AnswerBody::Whole,
        };
        assert!(throttled.may_have_done_it());
    }

    #[test]
    fn a_hint_beyond_the_writes_time_ends_it() {
        let hint = Some(Duration::from_secs(2 * 3600));
        let end =
            CallEnd::Answered { status: 429, hint, maybe_done: false, body: AnswerBody::Whole };
        assert_eq!(after(&SAFE, end), Next::Dead(DeadReason::Expired));
    }

    #[test]
    fn what_the_breaker_refused_counts_as_nothing_and_holds_the_destination() {
        let standing = Standing { calls: 1000, ..UNSAFE };
        let hint = Some(Duration::from_secs(30));
        let end =
            CallEnd::Broken { kind: BreakKind::BreakerOpen, certainty: Certainty::NotSent, hint };
        let at = NOW.after(Duration::from_secs(30));
        let wanted = Next::Again { at, counts: false, hold_until: Some(at) };
        assert_eq!(after(&standing, end), wanted);
    }

    #[test]
    fn a_breaker_that_opened_after_something_was_sent_is_no_excuse() {
        let end = broken(BreakKind::BreakerOpen, Certainty::MaybeProcessed);
        assert_eq!(after(&UNSAFE, end), Next::Stopped(StoppedReason::MaybeDone));
    }

    #[test]
    fn the_last_call_is_made_at_the_end_of_its_time_and_then_it_is_dead() {
        let end = broken(BreakKind::ConnectRefused, Certainty::NotSent);
        let soon = WallTime(NOW.0 + 1);
        let nearly = Standing { expires_at: soon, ..SAFE };
        assert!(matches!(after(&nearly, end), Next::Again { at, .. } if at == soon));
        let old = Standing { expires_at: NOW, ..SAFE };
        assert_eq!(after(&old, end), Next::Dead(DeadReason::Expired));
        assert_eq!(after(&old, answered(200)), Next::Delivered);
    }

    #[test]
    fn calls_are_bounded() {
        let standing = Standing { calls: 100, ..SAFE };
        assert_eq!(after(&standing, answered(500)), Next::Dead(DeadReason::Exhausted));
    }
}
