//! The circuit breaker: stops asking an endpoint that doesn't answer well, and finds out carefully when it does.
//!
//! ```text
//!            consecutive failures, failure ratio or slow ratio reached
//!   closed ────────────────────────────────────────────────────────────▶ open
//!     ▲                                                                   │ its time is over, or a
//!     │ enough probes succeeded                                           │ health check passed
//!     │                                                                   ▼
//!     └───────────────────────────────────────────────────────────── half-open ──▶ open (a probe failed: longer)
//! ```
//!
//! There is no timer: time is an argument, and the states change as calls come by. The closed state costs an
//! admission one atomic load and a success one atomic add. Half-open lets a ramp of probes through (1, 2, 4, ...);
//! a probe whose outcome never comes back is written off when the half-open state expires, so it can't stick.

use core::time::Duration;

use crate::chance::Chance;
use crate::check::{Check, Problems};
use crate::event::OpenCause;
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// What an open breaker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerMode {
    /// Nothing: it only watches.
    Off,
    /// Retries and failovers to this endpoint; first attempts still go there.
    StopRetries,
    /// Every attempt.
    StopAll,
}

/// When a breaker opens, for how long, and how it closes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// What an open breaker stops. Default: every attempt.
    pub mode: BreakerMode,
    /// Failures in a row that open it. 0 switches this trigger off. Default 5. Too low: single hiccups open it;
    /// too high: a dead endpoint gets that many calls first.
    pub consecutive_failures: u16,
    /// Share of failures in the window that opens it. Default 50 %; `None` switches this trigger off.
    pub failure_ratio: Option<Ratio>,
    /// Share of slow calls in the window that opens it. Default `None`: off.
    pub slow_ratio: Option<Ratio>,
    /// What counts as slow: the time to the head of the answer. Default 5 s.
    pub slow_after: Duration,
    /// Calls in the window below which the ratios say nothing. Default 20.
    pub minimum_calls: u32,
    /// Length of the window, counted in ten exact buckets. 1 s to 5 min, default 10 s.
    pub window: Duration,
    /// First open time. Default 5 s.
    pub open_for: Duration,
    /// Longest open time; each reopening doubles it, with equal jitter. Default 300 s.
    pub open_cap: Duration,
    /// Largest number of probes at once while half-open; the ramp is 1, 2, 4, ... up to this. 1 to 255, default 8.
    pub probe_limit: u8,
    /// Probes that must succeed in all before it closes. 1 to 255, default 3.
    pub probes_to_close: u8,
    /// How long a half-open state may last before unfinished probes are written off. Default 30 s.
    pub half_open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            mode: BreakerMode::StopAll,
            consecutive_failures: 5,
            failure_ratio: Some(Ratio::percent(50)),
            slow_ratio: None,
            slow_after: Duration::from_secs(5),
            minimum_calls: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            open_cap: Duration::from_secs(300),
            probe_limit: 8,
            probes_to_close: 3,
            half_open_for: Duration::from_secs(30),
        }
    }
}

impl Check for BreakerSettings {
    fn check(&self, problems: &mut Problems) {
        let second = Duration::from_secs(1);
        problems.require(
            self.window >= second && self.window <= 300 * second,
            "window",
            self.window,
            "1s to 5m",
        );
        // The rest of the rules is with the machine's author.
    }
}

/// Lets one attempt pass; its outcome must come back with it. Belongs to the breaker that gave it.
#[must_use = "an admission that is neither settled nor released holds a probe until the half-open state expires"]
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    generation: u32,
    probe: bool,
}

impl Admission {
    /// Whether it was let through to find out how the endpoint is.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The breaker doesn't let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When it is worth asking again.
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
        /// For how long.
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

/// The state of a breaker, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes until then.
    Open {
        /// When probes begin.
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

/// Watches one endpoint, or one route at one endpoint.
#[derive(Debug)]
pub struct Breaker {}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// Asks whether an attempt may pass. An open breaker whose time is over becomes half-open here (the second
    /// value says so).
    ///
    /// # Errors
    ///
    /// [`Refusal`] while it is open, or half-open with all probes out.
    pub fn admit(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Result<(Admission, Option<Transition>), Refusal> {
        let _ = (settings, now);
        todo!()
    }

    /// Whether [`Breaker::admit`] would let an attempt pass now; changes nothing. For balancing.
    #[must_use]
    pub fn would_admit(&self, settings: &BreakerSettings, now: Timestamp) -> Result<(), Refusal> {
        let _ = (settings, now);
        todo!()
    }

    /// Takes the outcome of an admitted attempt. News from an earlier generation count for nothing.
    pub fn settle(
        &self,
        settings: &BreakerSettings,
        admission: Admission,
        outcome: Outcome,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let _ = (settings, admission, outcome, now, chance);
        todo!()
    }

    /// Takes an admission back without an outcome: the attempt was cancelled, or failed for reasons of our own.
    pub fn release(&self, admission: Admission) {
        let _ = admission;
        todo!()
    }

    /// Books a failure that belongs to no admission any more: the body of an answer broke after its head.
    pub fn note_failure(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let _ = (settings, now, chance);
        todo!()
    }

    /// A health check passed: an open breaker may begin to probe at once.
    pub fn on_check_passed(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Option<Transition> {
        let _ = (settings, now);
        todo!()
    }

    /// An operator's order.
    pub fn force(&self, order: Forced, now: Timestamp) -> Option<Transition> {
        let _ = (order, now);
        todo!()
    }

    /// What was ordered.
    #[must_use]
    pub fn forced(&self) -> Forced {
        todo!()
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        let _ = now;
        todo!()
    }

    /// Calls and failures in the window at `now`.
    #[must_use]
    pub fn counts(&self, settings: &BreakerSettings, now: Timestamp) -> WindowCounts {
        let _ = (settings, now);
        todo!()
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// All calls.
    pub calls: u32,
    /// Failures among them.
    pub failures: u32,
    /// Slow ones among them.
    pub slow: u32,
}
