//! The state of one endpoint. It outlives generations: those that know it by the same name share it.
//!
//! What a pick reads comes first and fits one cache line; the breaker stands on lines of its own.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use super::ScopeId;
use super::ejection::Tally;
use super::health::{LastOutcome, Streak};
use super::latency::PeakEwma;
use super::moment::Moment;
use super::round_trip::RoundTrip;
use super::slow_start::Warming;
use super::spread::Spread;
use crate::breaker::Breaker;
use crate::limit::Limit;
use crate::time::Timestamp;

/// What is known about an endpoint.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Endpoint {
    pub(super) in_flight: AtomicU32,
    pub(super) unhealthy: AtomicBool,
    /// Whether an operator ordered that it gets nothing new.
    pub(super) drained: AtomicBool,
    pub(super) latency: PeakEwma,
    pub(super) throttled_until: Moment,
    pub(super) ejected_until: Moment,
    pub(super) warming: Warming,
    /// Outcomes since the statistics were looked at last.
    pub(super) tally: Tally,
    pub(super) breaker: Breaker,
    pub(super) streak: Streak,
    pub(super) next_check: Moment,
    pub(super) last_check: LastOutcome,
    /// By how much the next ejection is longer than the first.
    pub(super) times_ejected: AtomicU32,
    pub(super) round_trip: RoundTrip,
    pub(super) spread: Spread,
}

/// An endpoint in one generation.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: Arc<Endpoint>,
    /// The breakers of the routes that have their own, in the order of the settings.
    pub(super) routes: Box<[Arc<Breaker>]>,
    /// What one attempt in flight costs here, in 1/256: the tier's mean weight / this one's.
    pub(super) load_cost: u32,
    /// How many attempts may be under way here; none where there is no limit.
    pub(super) limit: Option<Arc<Limit>>,
}

impl Endpoint {
    /// Untried and usable; checked for the first time at `first_check`.
    pub(super) fn new(first_check: Timestamp) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            unhealthy: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            latency: PeakEwma::new(),
            throttled_until: Moment::none(),
            ejected_until: Moment::none(),
            warming: Warming::warm(),
            tally: Tally::default(),
            breaker: Breaker::new(),
            streak: Streak::default(),
            next_check: Moment::at(first_check),
            last_check: LastOutcome::default(),
            times_ejected: AtomicU32::new(0),
            round_trip: RoundTrip::default(),
            spread: Spread::new(),
        }
    }

    /// Whether neither an order nor checks nor statistics speak against it.
    #[inline]
    pub(super) fn is_in(&self, now: Timestamp) -> bool {
        !self.drained.load(Relaxed) && self.is_well(now)
    }

    /// Whether neither checks nor statistics speak against it.
    #[inline]
    pub(super) fn is_well(&self, now: Timestamp) -> bool {
        !self.unhealthy.load(Relaxed) && self.ejected_until.ahead_of(now).is_none()
    }

    /// It is back: it starts slowly from `from` on, and what its latency was before says nothing now.
    pub(super) fn come_back(&self, from: Timestamp) {
        self.latency.forget();
        self.spread.forget();
        self.warming.begin(from);
    }
}

impl Slot {
    pub(super) fn new(
        state: Arc<Endpoint>,
        routes: Box<[Arc<Breaker>]>,
        limit: Option<Arc<Limit>>,
    ) -> Self {
        Self { state, routes, load_cost: 0, limit }
    }

    /// How many more attempts may be under way here.
    pub(super) fn free(&self) -> u32 {
        match &self.limit {
            None => u32::MAX,
            Some(limit) => limit.current().saturating_sub(self.state.in_flight.load(Relaxed)),
        }
    }

    /// Whether one more attempt may be under way here. Of two that ask at once both may be told so.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        match &self.limit {
            None => true,
            Some(limit) => self.state.in_flight.load(Relaxed) < limit.current(),
        }
    }

    /// Whose breaker judges. A scope that this generation doesn't know has none of its own.
    #[inline]
    pub(super) fn breaker(&self, scope: ScopeId) -> &Breaker {
        match scope.0.checked_sub(1).and_then(|route| self.routes.get(usize::from(route))) {
            Some(breaker) => breaker,
            None => &self.state.breaker,
        }
    }

    /// All of its breakers: its own, then the routes'.
    pub(super) fn breakers(&self) -> impl Iterator<Item = &Breaker> {
        core::iter::once(&self.state.breaker).chain(self.routes.iter().map(AsRef::as_ref))
    }
}
