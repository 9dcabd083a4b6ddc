//! The closed sets by which things are counted, each with a place in an array and a stable code.
//!
//! A counter per value of an enum is an array indexed by the enum. What the engine's enums lack for that (a list of
//! their values, codes for causes) is here and nowhere else.

use std::time::Duration;

use mainstay_core::breaks::BreakKind;
use mainstay_core::call::HedgeRefusal;
use mainstay_core::event::{
    AttemptReason, DegradedBy, EjectCause, Held, OpenCause, Saved, StopReason,
};
use mainstay_core::heal::NotHealed;
use mainstay_core::heal::socket::TunnelEnd;
use mainstay_core::{Certainty, Event};

/// A value of a closed set.
pub(crate) trait Label: Copy + 'static {
    /// Every value, each at its own place.
    const ALL: &'static [Self];
    /// Where it is in [`Label::ALL`].
    fn place(self) -> usize;
    /// What it is called in metrics and records; it never changes its meaning.
    fn code(self) -> &'static str;
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer worth delivering went to the application.
    Delivered,
    /// A broken attempt's own answer went to the application.
    AsIs,
    /// The application got no answer of the upstream.
    Failed,
}

/// What became of an endpoint, apart from what has causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    HalfOpened,
    Closed,
    Returned,
    Unhealthy,
    Healthy,
    Throttled,
    FailedOpen,
    AddressesChanged,
    AddressesKept,
    CertificateExpiring,
}

/// Why a broken answer wasn't continued, without the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Off,
    Unproven,
    Stopped,
}

impl Cut {
    pub(crate) const fn new(why: NotHealed) -> Self {
        match why {
            NotHealed::Off => Self::Off,
            NotHealed::Unproven(_) => Self::Unproven,
            NotHealed::Stopped(_) => Self::Stopped,
        }
    }
}

/// What decided how long a retry was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delay {
    Backoff,
    Hint,
}

impl Delay {
    pub(crate) const fn new(hinted: bool) -> Self {
        if hinted { Self::Hint } else { Self::Backoff }
    }
}

impl Label for BreakKind {
    const ALL: &'static [Self] = &Self::ALL;

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for Certainty {
    const ALL: &'static [Self] =
        &[Self::NotSent, Self::Refused, Self::MaybeProcessed, Self::Processed];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for StopReason {
    const ALL: &'static [Self] = &[
        Self::OutcomeUnknown,
        Self::NotDeclared,
        Self::Unrepeatable,
        Self::AttemptsUsed,
        Self::BudgetEmpty,
        Self::DeadlineTooClose,
        Self::DeadlinePassed,
        Self::NoEndpoint,
        Self::ReplyStarted,
        Self::BreakerOpen,
        Self::PushedBack,
        Self::LeftToCaller,
        Self::LineFull,
        Self::PushedOut,
        Self::RateExceeded,
        Self::Paused,
        Self::SelfThrottled,
    ];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for DegradedBy {
    const ALL: &'static [Self] = &[Self::Stale, Self::Static];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for TunnelEnd {
    const ALL: &'static [Self] = &Self::ALL;

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for AttemptReason {
    const ALL: &'static [Self] =
        &[Self::First, Self::Retry, Self::Failover, Self::Hedge, Self::Resume];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Failover => "failover",
            Self::Hedge => "hedge",
            Self::Resume => "resume",
        }
    }
}

impl Label for Cut {
    const ALL: &'static [Self] = &[Self::Off, Self::Unproven, Self::Stopped];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unproven => "unproven",
            Self::Stopped => "stopped",
        }
    }
}

impl Label for HedgeRefusal {
    const ALL: &'static [Self] = &[
        Self::BodyNotWhole,
        Self::AttemptsUsed,
        Self::DeadlineTooClose,
        Self::BudgetEmpty,
        Self::NoEndpoint,
        Self::Held,
    ];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for Held {
    const ALL: &'static [Self] =
        &[Self::Limit, Self::Rate, Self::Pause, Self::Budget, Self::Endpoint, Self::Breaker];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        Self::code(self)
    }
}

impl Label for Saved {
    const ALL: &'static [Self] = &[Self::NotNeeded, Self::ByRetry, Self::ByFailover, Self::ByHedge];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::NotNeeded => "not-needed",
            Self::ByRetry => "retry",
            Self::ByFailover => "failover",
            Self::ByHedge => "hedge",
        }
    }
}

impl Label for OpenCause {
    const ALL: &'static [Self] =
        &[Self::Consecutive, Self::FailureRatio, Self::SlowRatio, Self::ProbeFailed, Self::Forced];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive-failures",
            Self::FailureRatio => "failure-ratio",
            Self::SlowRatio => "slow-ratio",
            Self::ProbeFailed => "probe-failed",
            Self::Forced => "forced",
        }
    }
}

impl Label for EjectCause {
    const ALL: &'static [Self] = &[Self::SuccessRate, Self::FailureShare];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::SuccessRate => "success-rate",
            Self::FailureShare => "failure-share",
        }
    }
}

impl Label for Outcome {
    const ALL: &'static [Self] = &[Self::Delivered, Self::AsIs, Self::Failed];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::AsIs => "as_is",
            Self::Failed => "failed",
        }
    }
}

impl Label for Change {
    const ALL: &'static [Self] = &[
        Self::HalfOpened,
        Self::Closed,
        Self::Returned,
        Self::Unhealthy,
        Self::Healthy,
        Self::Throttled,
        Self::FailedOpen,
        Self::AddressesChanged,
        Self::AddressesKept,
        Self::CertificateExpiring,
    ];

    fn place(self) -> usize {
        self as usize
    }

    /// The code of the event that brings the change.
    fn code(self) -> &'static str {
        let endpoint = mainstay_core::EndpointId(0);
        match self {
            Self::HalfOpened => Event::BreakerHalfOpened { endpoint }.code(),
            Self::Closed => Event::BreakerClosed { endpoint }.code(),
            Self::Returned => Event::EndpointReturned { endpoint }.code(),
            Self::Unhealthy => {
                Event::EndpointUnhealthy { endpoint, kind: BreakKind::ConnectRefused }.code()
            }
            Self::Healthy => Event::EndpointHealthy { endpoint }.code(),
            Self::Throttled => {
                Event::EndpointThrottled { endpoint, until: mainstay_core::Timestamp::ZERO }.code()
            }
            Self::FailedOpen => Event::FailedOpen { endpoint }.code(),
            Self::AddressesChanged => Event::AddressesChanged { endpoint }.code(),
            Self::AddressesKept => {
                Event::AddressesKept { endpoint, kind: BreakKind::ResolverFailure }.code()
            }
            Self::CertificateExpiring => {
                Event::CertificateExpiring { endpoint, left: Duration::ZERO }.code()
            }
        }
    }
}

impl Label for Delay {
    const ALL: &'static [Self] = &[Self::Backoff, Self::Hint];

    fn place(self) -> usize {
        self as usize
    }

    fn code(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::Hint => "hint",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn check<L: Label + std::fmt::Debug>() {
        let codes: BTreeSet<_> = L::ALL.iter().map(|label| label.code()).collect();
        assert_eq!(codes.len(), L::ALL.len(), "two of {:?} share a code", L::ALL);
        for (place, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.place(), place, "{label:?}");
        }
    }

    #[test]
    fn each_value_has_a_place_and_a_code_of_its_own() {
        check::<BreakKind>();
        check::<Certainty>();
        check::<StopReason>();
        check::<AttemptReason>();
        check::<HedgeRefusal>();
        check::<Held>();
        check::<DegradedBy>();
        check::<Saved>();
        check::<OpenCause>();
        check::<EjectCause>();
        check::<Outcome>();
        check::<Change>();
        check::<Delay>();
        check::<Cut>();
    }

    /// Doesn't compile when an enum of the engine gets a value; the list above then needs it too.
    #[test]
    fn lists_of_what_has_its_codes_in_the_engine_are_complete() {
        for reason in <StopReason as Label>::ALL {
            match reason {
                StopReason::OutcomeUnknown
                | StopReason::NotDeclared
                | StopReason::Unrepeatable
                | StopReason::AttemptsUsed
                | StopReason::BudgetEmpty
                | StopReason::DeadlineTooClose
                | StopReason::DeadlinePassed
                | StopReason::NoEndpoint
                | StopReason::ReplyStarted
                | StopReason::BreakerOpen
                | StopReason::PushedBack
                | StopReason::LeftToCaller
                | StopReason::LineFull
                | StopReason::PushedOut
                | StopReason::RateExceeded
                | StopReason::Paused
                | StopReason::SelfThrottled => {}
            }
        }
        for refusal in <HedgeRefusal as Label>::ALL {
            match refusal {
                HedgeRefusal::BodyNotWhole
                | HedgeRefusal::AttemptsUsed
                | HedgeRefusal::DeadlineTooClose
                | HedgeRefusal::BudgetEmpty
                | HedgeRefusal::NoEndpoint
                | HedgeRefusal::Held => {}
            }
        }
        for held in <Held as Label>::ALL {
            match held {
                Held::Limit
                | Held::Rate
                | Held::Pause
                | Held::Budget
                | Held::Endpoint
                | Held::Breaker => {}
            }
        }
        for by in <DegradedBy as Label>::ALL {
            match by {
                DegradedBy::Stale | DegradedBy::Static => {}
            }
        }
        for certainty in <Certainty as Label>::ALL {
            match certainty {
                Certainty::NotSent
                | Certainty::Refused
                | Certainty::MaybeProcessed
                | Certainty::Processed => {}
            }
        }
        assert_eq!(<StopReason as Label>::ALL.len(), 17);
        assert_eq!(<HedgeRefusal as Label>::ALL.len(), 6);
        assert_eq!(<Held as Label>::ALL.len(), 6);
        assert_eq!(<DegradedBy as Label>::ALL.len(), 2);
        assert_eq!(<Certainty as Label>::ALL.len(), 4);
    }
}
