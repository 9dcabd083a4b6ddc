//! What goes into a breaker and comes out of it: admissions, refusals, outcomes, transitions, orders, states.

use core::time::Duration;

use crate::event::OpenCause;
use crate::time::Timestamp;

/// Lets one attempt pass; its outcome must come back with it. Belongs to the breaker that gave it.
#[must_use = "an admission that is neither settled nor released holds a probe until the half-open state expires"]
#[derive(Debug, PartialEq, Eq)]
pub struct Admission(
    /// The generation, and above it whether it is a probe. One word, because a struct of two small fields is written
    /// in two steps and read in one by whoever moves it, and processors wait some nanoseconds for that.
    u32,
);

impl Admission {
    #[inline]
    pub(super) const fn of(generation: u16) -> Self {
        Self(generation as u32)
    }

    #[inline]
    pub(super) const fn probe_of(generation: u16) -> Self {
        Self(generation as u32 | PROBE)
    }

    /// A probe that was let through before its time, and whose failure makes nothing longer.
    pub(super) const fn early_probe_of(generation: u16) -> Self {
        Self(generation as u32 | PROBE | EARLY)
    }

    /// The breaker's generation that gave it.
    #[inline]
    pub(super) const fn generation(&self) -> u16 {
        self.0 as u16
    }

    /// Whether it was let through to find out how the endpoint is.
    #[inline]
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.0 & PROBE != 0
    }

    /// Whether it was let through before its time ([`Breaker::admit_early`](super::Breaker::admit_early)).
    #[must_use]
    pub const fn is_early(&self) -> bool {
        self.0 & EARLY != 0
    }
}

/// The breaker doesn't let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When it is worth asking again: the end of the open time; when all probes are out, the time at which they are
    /// written off (one that comes back sooner makes room sooner); [`Timestamp::MAX`] when an operator ordered it.
    pub until: Timestamp,
}

/// The outcome of an admitted attempt, as far as the breaker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, after this time.
    Success(Duration),
    /// It failed.
    Failure,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It opened.
    Opened {
        /// Why.
        cause: OpenCause,
        /// For how long; [`Duration::MAX`] by an operator's order.
        open_for: Duration,
    },
    /// It began to let probes through.
    HalfOpened,
    /// It closed.
    Closed,
}

/// What an operator may order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forced {
    /// Nothing: it follows what it sees.
    No,
    /// Open until told otherwise.
    Open,
    /// Closed until told otherwise.
    Closed,
}

/// The state of a breaker, to be shown: what an admission would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes until then.
    Open {
        /// When probes begin; [`Timestamp::MAX`] by an operator's order.
        until: Timestamp,
    },
    /// A bounded number of probes passes.
    HalfOpen {
        /// Probes out now.
        probing: u8,
        /// Probes that succeeded.
        succeeded: u8,
    },
}

impl BreakerState {
    /// A stable name for records and the admin address.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
        }
    }
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// All calls.
    pub calls: u32,
    /// Failures among them. Bodies that broke after their call was counted are in here too.
    pub failures: u32,
    /// Slow ones among them.
    pub slow: u32,
}

/// The bit of a probe, above the generation's.
const PROBE: u32 = 1 << 16;

/// The bit of a probe before its time, above that.
const EARLY: u32 = 1 << 17;
