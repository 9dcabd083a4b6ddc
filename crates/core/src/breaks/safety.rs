//! The retry-safety table: certainty × method × key, and nothing else.
//!
//! | how far the attempt got | safe methods, PUT, DELETE | others | others with a key or declared idempotent |
//! |---|---|---|---|
//! | not sent | again, free | again, free | again, free |
//! | refused by the peer | again | again, unless switched off | again |
//! | maybe processed | retry | outcome unknown | retry |
//! | turned away (429, 503 with `Retry-After`) | after the hint | only when declared | after the hint |
//! | answer broken, none of it delivered | retry | fail loudly | retry |
//! | reply started | resume or fail loudly | fail loudly | fail loudly |
//!
//! The methods are those that RFC 9110 (section 9.2.2) defines as idempotent. An `Idempotency-Key` or a route's
//! `idempotent = true` widens them; nothing else does.

use super::{Break, BreakKind, Certainty, Phase};

/// How far an attempt got, as far as sending its request again is concerned: the rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Situation {
    /// Nothing was sent.
    NotSent,
    /// The peer says that it did nothing.
    Refused,
    /// Sent, and the outcome is unknown.
    MaybeProcessed,
    /// The peer answered that we should come back later.
    TurnedAway,
    /// An answer came and broke, and none of it has been delivered.
    AnswerBroken,
    /// The head of an answer has been delivered.
    ReplyStarted,
}

/// What may be done twice: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repetition {
    /// The method itself is idempotent: GET, HEAD, OPTIONS, TRACE, PUT, DELETE.
    Idempotent,
    /// The method isn't, and nobody says that this request is.
    Unsafe,
    /// The method isn't, but the request carries a key or its route is declared idempotent.
    Declared,
}

/// On which ground a request may be done twice: what its column follows from, for those who ask why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ground {
    /// The method only reads (RFC 9110, section 9.2.1).
    Safe,
    /// The method changes something, and doing it twice changes it to the same.
    Idempotent,
    /// The request carries an idempotency key.
    Key,
    /// Its route is declared idempotent.
    Declared,
    /// There is none.
    None,
}

impl Ground {
    /// Derives it from what the request says, and its route.
    #[must_use]
    pub fn of(method: &str, has_idempotency_key: bool, declared_idempotent: bool) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Self::Safe,
            "PUT" | "DELETE" => Self::Idempotent,
            _ if has_idempotency_key => Self::Key,
            _ if declared_idempotent => Self::Declared,
            _ => Self::None,
        }
    }

    /// The column of the table.
    #[must_use]
    pub const fn repetition(self) -> Repetition {
        match self {
            Self::Safe | Self::Idempotent => Repetition::Idempotent,
            Self::Key | Self::Declared => Repetition::Declared,
            Self::None => Repetition::Unsafe,
        }
    }

    /// A stable name for documents.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Idempotent => "idempotent",
            Self::Key => "by-key",
            Self::Declared => "declared",
            Self::None => "none",
        }
    }
}

impl Repetition {
    /// Derives it from what the request says.
    #[must_use]
    pub fn of(method: &str, has_idempotency_key: bool, declared_idempotent: bool) -> Self {
        Ground::of(method, has_idempotency_key, declared_idempotent).repetition()
    }

    /// Whether doing it twice is as good as once.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Unsafe)
    }
}

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Send it again; it isn't even a retry, since nothing was sent.
    AgainFree,
    /// Send it again; the peer has worked for its refusal, so it is charged.
    Again,
    /// Retry within the budget.
    Retry,
    /// Retry within the budget, not before the peer's hint.
    RetryAfterHint,
    /// Don't: it may have been done. The application is told so.
    OutcomeUnknown,
    /// Don't: the peer turned it away, and only a declared route may press on.
    TurnedAway,
    /// Continue the broken answer, if that is provably right; else fail loudly.
    Resume,
    /// The answer can't be repaired: end it so that the application notices.
    FailLoudly,
    /// Go on with the upload from where the server has it. No row of the table: nothing is done twice.
    ContinueUpload,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 9] = [
        Self::AgainFree,
        Self::Again,
        Self::Retry,
        Self::RetryAfterHint,
        Self::OutcomeUnknown,
        Self::TurnedAway,
        Self::Resume,
        Self::FailLoudly,
        Self::ContinueUpload,
    ];

    /// A stable name for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// What it says, as a clause for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        self.row().1
    }

    /// The verdict with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }

    #[rustfmt::skip]
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::AgainFree => ("again-free", "nothing was sent, so it goes again and isn't even a retry"),
            Self::Again => ("again", "the peer says that it did nothing, so it may go again"),
            Self::Retry => ("retry", "it may have been done, and doing it twice is as good as once, so it may be retried"),
            Self::RetryAfterHint => ("retry-after-hint", "it may be retried, not before the time that the peer asked for"),
            Self::OutcomeUnknown => ("outcome-unknown", "it may have been done and must not be done twice, so it isn't sent again"),
            Self::TurnedAway => ("turned-away", "the peer turned it away, and only a request that may be done twice presses on"),
            Self::Resume => ("resume", "the answer had begun; it could only be continued, never started again"),
            Self::FailLoudly => ("fail-loudly", "the answer had begun and can't be repaired, so it ends as visibly broken"),
            Self::ContinueUpload => ("continue-upload", "the server keeps what it has of the upload, so it goes on from there"),
        }
    }
}

/// The row of the table in which `what` belongs.
#[must_use]
pub const fn situation(what: &Break) -> Situation {
    match (what.kind, what.kind.phase(), what.certainty) {
        (BreakKind::Throttled, _, _) => Situation::TurnedAway,
        (_, Phase::Body, _) | (_, _, Certainty::Processed) => Situation::ReplyStarted,
        (_, _, Certainty::NotSent) => Situation::NotSent,
        (_, _, Certainty::Refused) => Situation::Refused,
        (_, _, Certainty::MaybeProcessed) => Situation::MaybeProcessed,
    }
}

/// The table.
///
/// `repeat_refused`: whether a request that isn't idempotent may be repeated when the peer says that it did
/// nothing (RFC 9113, section 8.7, allows it to clients; RFC 9110 is silent for proxies, so it can be switched
/// off).
#[must_use]
pub const fn verdict(
    situation: Situation,
    repetition: Repetition,
    repeat_refused: bool,
) -> Verdict {
    use Repetition::{Declared, Idempotent, Unsafe};
    match (situation, repetition) {
        (Situation::NotSent, Idempotent | Unsafe | Declared) => Verdict::AgainFree,
        (Situation::Refused, Idempotent | Declared) => Verdict::Again,
        (Situation::Refused, Unsafe) if repeat_refused => Verdict::Again,
        (Situation::Refused, Unsafe) => Verdict::TurnedAway,
        (Situation::MaybeProcessed | Situation::AnswerBroken, Idempotent | Declared) => {
            Verdict::Retry
        }
        (Situation::MaybeProcessed, Unsafe) => Verdict::OutcomeUnknown,
        (Situation::TurnedAway, Idempotent | Declared) => Verdict::RetryAfterHint,
        (Situation::TurnedAway, Unsafe) => Verdict::TurnedAway,
        (Situation::ReplyStarted, Idempotent) => Verdict::Resume,
        (Situation::ReplyStarted, Unsafe | Declared) | (Situation::AnswerBroken, Unsafe) => {
            Verdict::FailLoudly
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Repetition::{Declared, Idempotent, Unsafe};

    fn check(row: Situation, expected: [(Repetition, Verdict); 3]) {
        for (column, wanted) in expected {
            assert_eq!(verdict(row, column, true), wanted, "{row:?} × {column:?}");
        }
    }

    #[test]
    fn what_was_not_sent_goes_again_whatever_it_is() {
        let again = Verdict::AgainFree;
        check(Situation::NotSent, [(Idempotent, again), (Unsafe, again), (Declared, again)]);
    }

    #[test]
    fn what_was_refused_goes_again_and_is_charged() {
        let again = Verdict::Again;
        check(Situation::Refused, [(Idempotent, again), (Unsafe, again), (Declared, again)]);
    }

    #[test]
    fn repeating_refused_writes_can_be_switched_off_for_unsafe_requests_only() {
        assert_eq!(verdict(Situation::Refused, Unsafe, false), Verdict::TurnedAway);
        assert_eq!(verdict(Situation::Refused, Idempotent, false), Verdict::Again);
        assert_eq!(verdict(Situation::Refused, Declared, false), Verdict::Again);
    }

    #[test]
    fn what_may_have_been_done_is_repeated_only_where_that_is_as_good_as_once() {
        let (retry, unknown) = (Verdict::Retry, Verdict::OutcomeUnknown);
        check(
            Situation::MaybeProcessed,
            [(Idempotent, retry), (Unsafe, unknown), (Declared, retry)],
        );
    }

    #[test]
    fn what_was_turned_away_waits_for_the_hint_or_is_answered() {
        let later = Verdict::RetryAfterHint;
        check(
            Situation::TurnedAway,
            [(Idempotent, later), (Unsafe, Verdict::TurnedAway), (Declared, later)],
        );
    }

    #[test]
    fn an_answer_that_broke_before_any_of_it_was_delivered_is_asked_for_again() {
        let (retry, loud) = (Verdict::Retry, Verdict::FailLoudly);
        check(Situation::AnswerBroken, [(Idempotent, retry), (Unsafe, loud), (Declared, retry)]);
    }

    #[test]
    fn a_started_reply_is_resumed_or_fails_loudly_and_never_starts_again() {
        let loud = Verdict::FailLoudly;
        check(
            Situation::ReplyStarted,
            [(Idempotent, Verdict::Resume), (Unsafe, loud), (Declared, loud)],
        );
    }

    #[test]
    fn the_idempotent_methods_are_those_of_rfc_9110() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert_eq!(Repetition::of(method, false, false), Idempotent, "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "LOCK", "get"] {
            assert_eq!(Repetition::of(method, false, false), Unsafe, "{method}");
            assert_eq!(Repetition::of(method, true, false), Declared, "{method}");
            assert_eq!(Repetition::of(method, false, true), Declared, "{method}");
        }
    }

    #[test]
    fn the_ground_is_the_method_then_the_key_then_the_route() {
        let ground = Ground::of;
        assert_eq!(ground("GET", true, true), Ground::Safe);
        assert_eq!(ground("DELETE", true, true), Ground::Idempotent);
        assert_eq!(ground("POST", true, true), Ground::Key);
        assert_eq!(ground("POST", false, true), Ground::Declared);
        assert_eq!(ground("POST", false, false), Ground::None);
    }

    #[test]
    fn verdicts_are_found_by_their_codes() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
        }
        assert_eq!(Verdict::from_code("no such code"), None);
    }

    #[test]
    fn breaks_find_their_row() {
        let row = |kind, certainty| situation(&Break::new(kind, certainty));
        assert_eq!(row(BreakKind::ConnectRefused, Certainty::NotSent), Situation::NotSent);
        assert_eq!(row(BreakKind::ClosedWhileIdle, Certainty::NotSent), Situation::NotSent);
        assert_eq!(
            row(BreakKind::ClosedWhileIdle, Certainty::MaybeProcessed),
            Situation::MaybeProcessed
        );
        assert_eq!(row(BreakKind::StreamRefused, Certainty::Refused), Situation::Refused);
        assert_eq!(row(BreakKind::Throttled, Certainty::Refused), Situation::TurnedAway);
        assert_eq!(row(BreakKind::BodyReset, Certainty::Processed), Situation::ReplyStarted);
        assert_eq!(
            row(BreakKind::ServerError, Certainty::MaybeProcessed),
            Situation::MaybeProcessed
        );
    }

    #[test]
    fn answers_are_read_as_breaks() {
        let read = |status, hint| Break::of_status(status, hint, &super::super::StatusSet::DEFAULT);
        let hint = Some(core::time::Duration::from_secs(2));
        assert_eq!(read(200, None), None);
        assert_eq!(read(404, hint), None);
        assert_eq!(read(429, None).map(|b| b.kind), Some(BreakKind::Throttled));
        assert_eq!(read(503, None).map(|b| b.kind), Some(BreakKind::ServerError));
        assert_eq!(
            read(503, hint).map(|b| (b.kind, b.retry_after)),
            Some((BreakKind::Throttled, hint))
        );
        assert_eq!(read(425, None).map(|b| b.certainty), Some(Certainty::Refused));
    }
}
