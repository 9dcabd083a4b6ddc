//! Facts worth recording, in the past tense, each with its reason.
//!
//! Everything that can be asked why (log, metrics, dashboard, `explain`, tests) reads this one stream. Events are
//! small and `Copy`; names are looked up by whoever writes them down.

use core::time::Duration;

use crate::breaks::{Break, BreakKind, Certainty};
use crate::call::HedgeRefusal;
use crate::heal::NotHealed;
use crate::heal::socket::{TunnelCounts, TunnelEnd};
use crate::time::Timestamp;
use crate::upstream::EndpointId;

/// Which attempt of a call, counted from 1. Free repeats of what was never sent count too, and so does what continues a
/// broken answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub u16);

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptReason {
    /// It is the first.
    First,
    /// The last one broke, and this goes to the same endpoint.
    Retry,
    /// The last one broke, and this goes to another endpoint.
    Failover,
    /// Another one is out and has no answer yet.
    Hedge,
    /// The body of a delivered answer broke, or that of the request in a resumable upload, and this is to continue it.
    Resume,
}

/// Why nothing more was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The request may have been carried out, and doing it twice isn't as good as once.
    OutcomeUnknown,
    /// The peer turned it away, and the request isn't declared idempotent.
    NotDeclared,
    /// The request's body can't be sent again.
    Unrepeatable,
    /// Every attempt that the policy allows was made.
    AttemptsUsed,
    /// The budget for extra attempts is empty.
    BudgetEmpty,
    /// The retry would start after the call's deadline.
    DeadlineTooClose,
    /// The call's deadline passed.
    DeadlinePassed,
    /// No endpoint may be asked now.
    NoEndpoint,
    /// An answer was already on its way to the application.
    ReplyStarted,
    /// The breaker's mode is to stop retries, and it is open.
    BreakerOpen,
    /// The peer said that it isn't to be asked again (gRPC's pushback).
    PushedBack,
    /// The caller is a layer of retries itself, and will try again.
    LeftToCaller,
    /// The concurrency limit is reached, and so is that of the line that waits for it.
    LineFull,
    /// It waited in line, and a call of higher priority needed its place.
    PushedOut,
    /// The rate limit allows it only after the call's deadline.
    RateExceeded,
    /// The peer asked for a pause that ends after the call's deadline.
    Paused,
    /// Most of what was sent lately was turned away, so a share isn't sent.
    SelfThrottled,
}

impl StopReason {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutcomeUnknown => "outcome-unknown",
            Self::NotDeclared => "not-declared-idempotent",
            Self::Unrepeatable => "body-unrepeatable",
            Self::AttemptsUsed => "attempts-used",
            Self::BudgetEmpty => "budget-empty",
            Self::DeadlineTooClose => "deadline-too-close",
            Self::DeadlinePassed => "deadline-passed",
            Self::NoEndpoint => "no-endpoint",
            Self::ReplyStarted => "reply-started",
            Self::BreakerOpen => "breaker-open",
            Self::PushedBack => "pushed-back",
            Self::LeftToCaller => "left-to-caller",
            Self::LineFull => "line-full",
            Self::PushedOut => "pushed-out",
            Self::RateExceeded => "rate-exceeded",
            Self::Paused => "paused",
            Self::SelfThrottled => "self-throttled",
        }
    }

    /// Whether a call that is stopped so before its first attempt is refused to keep load from the upstream.
    #[must_use]
    pub const fn is_shed(self) -> bool {
        match self {
            Self::LineFull
            | Self::PushedOut
            | Self::RateExceeded
            | Self::Paused
            | Self::SelfThrottled
            | Self::DeadlineTooClose => true,
            Self::OutcomeUnknown
            | Self::NotDeclared
            | Self::Unrepeatable
            | Self::AttemptsUsed
            | Self::BudgetEmpty
            | Self::DeadlinePassed
            | Self::NoEndpoint
            | Self::ReplyStarted
            | Self::BreakerOpen
            | Self::PushedBack
            | Self::LeftToCaller => false,
        }
    }
}

/// What an attempt is held for before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// Room under the concurrency limit.
    Limit,
    /// The rate limit's next free slot.
    Rate,
    /// The end of a pause that the peer asked for.
    Pause,
    /// Means of the budget, in the middle of an answer that is to be continued.
    Budget,
    /// An endpoint that may be asked, in the middle of one.
    Endpoint,
    /// A breaker that lets it through, where all of them are open.
    Breaker,
}

impl Held {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Rate => "rate",
            Self::Pause => "pause",
            Self::Budget => "budget",
            Self::Endpoint => "endpoint",
            Self::Breaker => "breaker",
        }
    }
}

/// What the application got in place of an answer that didn't come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DegradedBy {
    /// An answer that was good before.
    Stale,
    /// The route's fixed answer.
    Static,
}

impl DegradedBy {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Static => "static",
        }
    }
}

/// What made a breaker open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenCause {
    /// So many failures in a row.
    Consecutive,
    /// The share of failures in the window.
    FailureRatio,
    /// The share of slow calls in the window.
    SlowRatio,
    /// A probe failed while half-open.
    ProbeFailed,
    /// An operator said so.
    Forced,
}

/// Why an endpoint was taken out of balancing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EjectCause {
    /// Its success rate is far below that of its peers.
    SuccessRate,
    /// Its share of failures is above the fixed limit.
    FailureShare,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Saved {
    /// The first attempt was enough: nothing had to be saved.
    NotNeeded,
    /// A retry on the same endpoint.
    ByRetry,
    /// An attempt elsewhere.
    ByFailover,
    /// A second attempt that was faster than the first.
    ByHedge,
}

/// One fact. The first group is about one call, the second about an upstream's endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A call began.
    CallStarted,
    /// An attempt was sent out.
    AttemptStarted {
        /// Which.
        attempt: AttemptId,
        /// Where to.
        endpoint: EndpointId,
        /// Why.
        reason: AttemptReason,
    },
    /// An attempt got an answer that is worth delivering.
    AttemptSucceeded {
        /// Which.
        attempt: AttemptId,
        /// Where.
        endpoint: EndpointId,
        /// The status of the answer.
        status: u16,
        /// From its start to the head of the answer.
        took: Duration,
    },
    /// An attempt broke.
    AttemptFailed {
        /// Which.
        attempt: AttemptId,
        /// Where.
        endpoint: EndpointId,
        /// What broke.
        what: Break,
        /// From its start to the break.
        took: Duration,
    },
    /// An attempt was stopped, since the other one that was out had been faster.
    AttemptOutrun {
        /// Which.
        attempt: AttemptId,
        /// Where.
        endpoint: EndpointId,
        /// From its start to its stop.
        took: Duration,
    },
    /// A second attempt was due beside one that is out, and wasn't made.
    HedgeRefused {
        /// Why.
        reason: HedgeRefusal,
    },
    /// A retry was put off until a time.
    RetryScheduled {
        /// How long from now.
        delay: Duration,
        /// Whether the peer's hint decided, not our own backoff.
        hinted: bool,
    },
    /// Nothing more was tried, although the last attempt broke.
    RetryRefused {
        /// Why.
        reason: StopReason,
    },
    /// An attempt has to wait before it starts.
    AttemptHeld {
        /// For what.
        by: Held,
    },
    /// An attempt that had been held since every breaker was open waits no longer.
    BreakerAwaited {
        /// How long it waited.
        waited: Duration,
        /// Whether it was let through; if not, the call ended.
        passed: bool,
    },
    /// The call was refused before its first attempt, to keep load from the upstream.
    CallShed {
        /// Why.
        reason: StopReason,
    },
    /// The body of the request can't be sent again.
    BodyUnrepeatable,
    /// An answer went to the application.
    CallDelivered {
        /// Its status.
        status: u16,
        /// How many attempts were made.
        attempts: u16,
        /// What saved it.
        saved: Saved,
        /// From the call's start to the head of the answer.
        took: Duration,
        /// Whether the answer is a broken attempt's own, the last real one, since nothing better came.
        as_is: bool,
    },
    /// The call ended without an answer of the upstream.
    CallFailed {
        /// What broke last.
        kind: BreakKind,
        /// How far the request may have got: the worst of all attempts.
        certainty: Certainty,
        /// How many attempts were made.
        attempts: u16,
        /// From the call's start.
        took: Duration,
    },
    /// The application got something else in place of an answer that failed, or of an error.
    CallDegraded {
        /// What.
        by: DegradedBy,
        /// The status that it got.
        status: u16,
    },
    /// The body of a delivered answer broke.
    BodyFailed {
        /// Where it came from.
        endpoint: EndpointId,
        /// What broke.
        kind: BreakKind,
    },
    /// A delivered answer whose body had broken goes on.
    BodyResumed {
        /// By which attempt.
        attempt: AttemptId,
        /// Where it comes from now.
        endpoint: EndpointId,
        /// From the break to the head of the answer that continues it.
        took: Duration,
    },
    /// A delivered answer whose body had broken reached the application whole.
    AnswerHealed {
        /// How often it had broken.
        breaks: u16,
    },
    /// A delivered answer whose body had broken was not continued, and ends so that the application notices.
    AnswerCut {
        /// What broke.
        kind: BreakKind,
        /// Why it ends.
        why: NotHealed,
    },
    /// An upload that had broken goes on from where the server has it.
    UploadResumed {
        /// By the attempt that asked how much it has.
        attempt: AttemptId,
        /// Where it goes.
        endpoint: EndpointId,
        /// How many bytes of it the server has.
        from: u64,
        /// From the break to that answer.
        took: Duration,
    },
    /// An upload that the server had offered to continue isn't: what is done now is for the table of retry safety.
    UploadNotResumed {
        /// Why.
        why: NotHealed,
    },
    /// A connection that had switched protocols ended, and the call with it.
    TunnelEnded {
        /// Why.
        end: TunnelEnd,
        /// From the switch.
        lasted: Duration,
        /// What went through.
        counts: TunnelCounts,
    },
    /// A breaker opened.
    BreakerOpened {
        /// Whose.
        endpoint: EndpointId,
        /// Why.
        cause: OpenCause,
        /// For how long.
        open_for: Duration,
    },
    /// A breaker began to let probes through.
    BreakerHalfOpened {
        /// Whose.
        endpoint: EndpointId,
    },
    /// A breaker closed.
    BreakerClosed {
        /// Whose.
        endpoint: EndpointId,
    },
    /// An endpoint was taken out of balancing by what was observed.
    EndpointEjected {
        /// Which.
        endpoint: EndpointId,
        /// Why.
        cause: EjectCause,
        /// For how long.
        ejected_for: Duration,
    },
    /// An ejected endpoint came back.
    EndpointReturned {
        /// Which.
        endpoint: EndpointId,
    },
    /// Active checks found an endpoint unhealthy.
    EndpointUnhealthy {
        /// Which.
        endpoint: EndpointId,
        /// What broke in the last of them.
        kind: BreakKind,
    },
    /// Active checks found an endpoint healthy again.
    EndpointHealthy {
        /// Which.
        endpoint: EndpointId,
    },
    /// An endpoint asked to be left alone.
    EndpointThrottled {
        /// Which.
        endpoint: EndpointId,
        /// Until when nothing is sent there while others exist.
        until: Timestamp,
    },
    /// An endpoint's name leads to other addresses than before.
    AddressesChanged {
        /// Whose.
        endpoint: EndpointId,
    },
    /// An endpoint's name couldn't be looked up, and the addresses that were known are used on.
    AddressesKept {
        /// Whose.
        endpoint: EndpointId,
        /// What broke the lookup.
        kind: BreakKind,
    },
    /// An endpoint's certificate ends soon.
    CertificateExpiring {
        /// Whose.
        endpoint: EndpointId,
        /// How long it is still valid; zero when it has ended.
        left: Duration,
    },
    /// No endpoint was usable, and one was asked all the same, as the settings say.
    FailedOpen {
        /// Which was asked.
        endpoint: EndpointId,
    },
}

impl Event {
    /// A stable name for records, metrics and the census.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CallStarted => "call-started",
            Self::AttemptStarted { .. } => "attempt-started",
            Self::AttemptSucceeded { .. } => "attempt-succeeded",
            Self::AttemptFailed { .. } => "attempt-failed",
            Self::AttemptOutrun { .. } => "attempt-outrun",
            Self::HedgeRefused { .. } => "hedge-refused",
            Self::RetryScheduled { .. } => "retry-scheduled",
            Self::RetryRefused { .. } => "retry-refused",
            Self::AttemptHeld { .. } => "attempt-held",
            Self::BreakerAwaited { .. } => "breaker-awaited",
            Self::CallShed { .. } => "call-shed",
            Self::BodyUnrepeatable => "body-unrepeatable",
            Self::CallDelivered { .. } => "call-delivered",
            Self::CallFailed { .. } => "call-failed",
            Self::CallDegraded { .. } => "call-degraded",
            Self::BodyFailed { .. } => "body-failed",
            Self::BodyResumed { .. } => "body-resumed",
            Self::AnswerHealed { .. } => "answer-healed",
            Self::AnswerCut { .. } => "answer-cut",
            Self::UploadResumed { .. } => "upload-resumed",
            Self::UploadNotResumed { .. } => "upload-not-resumed",
            Self::TunnelEnded { .. } => "tunnel-ended",
            Self::BreakerOpened { .. } => "breaker-opened",
            Self::BreakerHalfOpened { .. } => "breaker-half-opened",
            Self::BreakerClosed { .. } => "breaker-closed",
            Self::EndpointEjected { .. } => "endpoint-ejected",
            Self::EndpointReturned { .. } => "endpoint-returned",
            Self::EndpointUnhealthy { .. } => "endpoint-unhealthy",
            Self::EndpointHealthy { .. } => "endpoint-healthy",
            Self::EndpointThrottled { .. } => "endpoint-throttled",
            Self::AddressesChanged { .. } => "addresses-changed",
            Self::AddressesKept { .. } => "addresses-kept",
            Self::CertificateExpiring { .. } => "certificate-expiring",
            Self::FailedOpen { .. } => "failed-open",
        }
    }
}
