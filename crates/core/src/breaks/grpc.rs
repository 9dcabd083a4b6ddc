//! What the outcome of a gRPC call says: its status, and the server's word on retries.
//!
//! HTTP says 200 whatever came of a gRPC call; `grpc-status` says the rest. In a head that is all of the answer (the protocol
//! calls it Trailers-Only), and in trailers that come before any message while the head is held back, it is known before anything
//! was delivered, so the call may go again; in trailers after messages it is counted only.
//!
//! | status | is | why |
//! |---|---|---|
//! | UNAVAILABLE (14) | a failure, maybe processed | the service can't now; the specification leaves open whether it began |
//! | RESOURCE_EXHAUSTED (8) | throttling | a quota: going elsewhere doesn't help, as with 429 |
//! | UNKNOWN (2), INTERNAL (13), DATA_LOSS (15) | a failure, maybe processed | what servers say when a handler fails, as with 500 |
//! | all others | an answer | they speak of the request, its deadline, its caller, or the state of the data |
//!
//! The word on retries is `grpc-retry-pushback-ms` (gRPC proposal A6, "Pushback"): a number of milliseconds after
//! which to retry; a negative number, or what isn't a number, says: not at all.

use core::time::Duration;

use super::{Break, BreakKind, Certainty};

/// The server's word on retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// It says nothing.
    Unsaid,
    /// Not before so long.
    After(Duration),
    /// Not at all.
    Never,
}

/// How a gRPC call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcOutcome {
    /// `grpc-status`.
    pub code: u8,
    /// `grpc-retry-pushback-ms`.
    pub pushback: Pushback,
}

impl Pushback {
    /// Reads the field's value.
    #[must_use]
    pub fn parse(value: Option<&[u8]>) -> Self {
        let Some(value) = value else { return Self::Unsaid };
        let number =
            core::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i32>().ok());
        match number.and_then(|millis| u64::try_from(millis).ok()) {
            Some(millis) => Self::After(Duration::from_millis(millis)),
            None => Self::Never,
        }
    }
}

impl GrpcOutcome {
    /// Reads `grpc-status` and `grpc-retry-pushback-ms`. A status that is no number is UNKNOWN, as it is to clients.
    #[must_use]
    pub fn parse(status: &[u8], pushback: Option<&[u8]>) -> Self {
        let code = core::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
        Self { code: code.unwrap_or(UNKNOWN), pushback: Pushback::parse(pushback) }
    }

    /// The kind of break that it is, if it is one.
    #[must_use]
    pub const fn kind(self) -> Option<BreakKind> {
        match (self.code, self.pushback) {
            (RESOURCE_EXHAUSTED, _) | (UNAVAILABLE, Pushback::After(_)) => {
                Some(BreakKind::Throttled)
            }
            (UNAVAILABLE | UNKNOWN | INTERNAL | DATA_LOSS, _) => Some(BreakKind::ServerError),
            _ => None,
        }
    }

    /// How an answer of messages ended that told this outcome, or none: without a word on it, it isn't whole.
    #[must_use]
    pub const fn end(told: Option<Self>) -> Option<BreakKind> {
        match told {
            Some(outcome) => outcome.kind(),
            None => Some(BreakKind::BodyTruncated),
        }
    }

    /// The break that it is, where no message came, if it is one.
    #[must_use]
    pub fn broken(self) -> Option<Break> {
        let retry_after = match self.pushback {
            Pushback::After(length) => Some(length),
            Pushback::Unsaid | Pushback::Never => None,
        };
        let what = Break::new(self.kind()?, Certainty::MaybeProcessed);
        Some(Break { status: Some(200), grpc: Some(self.code), retry_after, ..what })
    }

    /// Whether the server said that it isn't to be asked again.
    #[must_use]
    pub const fn forbids_retry(self) -> bool {
        matches!(self.pushback, Pushback::Never)
    }
}

/// The status with which Mainstay itself ends a gRPC call that broke by `kind`.
#[must_use]
pub const fn status_of(kind: BreakKind) -> u8 {
    match kind {
        BreakKind::ClientGone => CANCELLED,
        // A timeout before anything was sent isn't among them: what wasn't sent is UNAVAILABLE.
        BreakKind::DeadlineExceeded | BreakKind::ResponseTimeout | BreakKind::BodyStalled => {
            DEADLINE_EXCEEDED
        }
        BreakKind::Throttled | BreakKind::LimitReached => RESOURCE_EXHAUSTED,
        BreakKind::MalformedResponse | BreakKind::HeadTooLarge | BreakKind::UpgradeFailed => {
            INTERNAL
        }
        _ => UNAVAILABLE,
    }
}

/// The status that stands for an HTTP status of our own refusals (gRPC's "HTTP to gRPC status code mapping", with the
/// limits that it doesn't know).
#[must_use]
pub const fn status_of_http(status: u16) -> u8 {
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 | 405 => UNIMPLEMENTED,
        408 => DEADLINE_EXCEEDED,
        413 | 431 => RESOURCE_EXHAUSTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

const CANCELLED: u8 = 1;
const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const DATA_LOSS: u8 = 15;
const UNAUTHENTICATED: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str, pushback: Option<&str>, kind: Option<BreakKind>, never: bool) {
        let outcome = GrpcOutcome::parse(status.as_bytes(), pushback.map(str::as_bytes));
        assert_eq!(
            (outcome.kind(), outcome.forbids_retry()),
            (kind, never),
            "{status} {pushback:?}"
        );
    }

    #[test]
    fn each_status_is_a_failure_throttling_or_an_answer() {
        for code in 0..=17 {
            let wanted = match code {
                2 | 13 | 14 | 15 => Some(BreakKind::ServerError),
                8 => Some(BreakKind::Throttled),
                _ => None,
            };
            check(&std::format!("{code}"), None, wanted, false);
        }
        check("what", None, Some(BreakKind::ServerError), false);
    }

    #[test]
    fn pushback_is_a_hint_or_a_prohibition_as_a6_says() {
        check("14", Some("250"), Some(BreakKind::Throttled), false);
        check("14", Some("-1"), Some(BreakKind::ServerError), true);
        check("14", Some("soon"), Some(BreakKind::ServerError), true);
        check("14", Some(""), Some(BreakKind::ServerError), true);
        check("0", Some("-1"), None, true);
        let after = GrpcOutcome::parse(b"14", Some(b"250")).broken().map(|what| what.retry_after);
        assert_eq!(after, Some(Some(Duration::from_millis(250))));
        let at_once = GrpcOutcome::parse(b"14", Some(b"0")).pushback;
        assert_eq!(at_once, Pushback::After(Duration::ZERO));
    }

    #[test]
    fn an_answer_without_a_word_on_its_outcome_is_not_whole() {
        assert_eq!(GrpcOutcome::end(None), Some(BreakKind::BodyTruncated));
        let told = |code| GrpcOutcome::end(Some(GrpcOutcome { code, pushback: Pushback::Unsaid }));
        assert_eq!((told(0), told(14)), (None, Some(BreakKind::ServerError)));
    }

    #[test]
    fn an_outcome_is_never_taken_for_a_proof_that_nothing_was_done() {
        for code in 0..=16 {
            let what = GrpcOutcome { code, pushback: Pushback::Unsaid }.broken();
            assert!(what.is_none_or(|what| what.certainty == Certainty::MaybeProcessed));
        }
    }

    #[test]
    fn our_own_ends_have_statuses_of_their_own() {
        assert_eq!(status_of(BreakKind::DeadlineExceeded), 4);
        assert_eq!(status_of(BreakKind::LimitReached), 8);
        assert_eq!(status_of(BreakKind::ConnectTimeout), 14);
        assert_eq!(status_of(BreakKind::BreakerOpen), 14);
        assert!(BreakKind::ALL.iter().all(|kind| status_of(*kind) != 0));
        assert_eq!(status_of_http(404), 12);
    }
}
