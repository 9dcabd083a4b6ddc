//! The permit: one attempt's pass to one endpoint, which ties its outcome to its admission.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use super::endpoint::{Endpoint, Slot};
use super::{EndpointId, Report, ScopeId, Seat, Upstream};
use crate::breaker::{Admission, Outcome};
use crate::chance::Chance;
use crate::event::Event;
use crate::time::Timestamp;

/// One attempt's pass to one endpoint. In flight until dropped; dropped without a report, it is no news.
#[must_use = "dropping a permit at once takes the admission back"]
pub struct Permit {
    upstream: Arc<Upstream>,
    /// None once it was reported.
    admission: Option<Admission>,
    endpoint: EndpointId,
    scope: ScopeId,
    is_probe: bool,
    /// Its place under the upstream's concurrency limit.
    seat: Option<Seat>,
}

impl Permit {
    #[inline]
    pub(super) fn new(
        upstream: Arc<Upstream>,
        endpoint: EndpointId,
        scope: ScopeId,
        admission: Admission,
    ) -> Self {
        let is_probe = admission.is_probe();
        let permit =
            Self { upstream, admission: Some(admission), endpoint, scope, is_probe, seat: None };
        if let Some(slot) = permit.slot() {
            slot.state.in_flight.fetch_add(1, Relaxed);
        }
        permit
    }

    /// Keeps a seat for as long as the attempt is in flight.
    pub(crate) fn keep(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

    /// Gives the seat up, to whoever goes on in its place.
    pub(crate) fn leave_seat(&mut self) -> Option<Seat> {
        self.seat.take()
    }

    /// Where it leads.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// The generation that gave it.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Whether the attempt is a probe of a half-open breaker.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Reports what came of the attempt, once; later reports count for nothing. It stays in flight until dropped.
    #[inline]
    pub fn report(&mut self, report: Report, now: Timestamp, chance: &mut Chance) -> Option<Event> {
        let admission = self.admission.take()?;
        let slot = self.slot()?;
        let settings = &self.upstream.settings;
        self.upstream.note_load(slot, report, now);
        match report {
            Report::Answered(took) => {
                slot.state.latency.observe(took, self.upstream.decay, now);
                slot.state.spread.observe(took, now);
                if settings.ejection.is_some() {
                    slot.state.tally.success();
                }
                self.settle(slot, admission, Outcome::Success(took), now, chance)
            }
            Report::Broke | Report::TimedOut(_) => {
                if let Report::TimedOut(took) = report {
                    slot.state.spread.at_least(took, now);
                }
                slot.state.latency.observe(settings.failure_penalty, self.upstream.decay, now);
                if settings.ejection.is_some() {
                    slot.state.tally.failure();
                }
                // What calls meet and what checks see are one picture: a check tells soon whether it was more than a hiccup.
                self.upstream.check_soon(slot, now);
                self.settle(slot, admission, Outcome::Failure, now, chance)
            }
            Report::RateLimited { hint, lane } => {
                if let Some(hint) = hint {
                    self.upstream.gate.pause(lane, hint, now);
                }
                slot.breaker(self.scope).release(admission);
                // Where limits are kept by key, the endpoint is well for all the others.
                if lane.is_some() { None } else { self.throttle(&slot.state, hint, now) }
            }
            Report::Throttled(hint) => {
                slot.breaker(self.scope).release(admission);
                self.throttle(&slot.state, hint, now)
            }
            Report::Outrun(took) => {
                slot.state.spread.at_least(took, now);
                slot.state.latency.at_least(took, self.upstream.decay, now);
                slot.breaker(self.scope).release(admission);
                None
            }
            Report::NoNews => {
                slot.breaker(self.scope).release(admission);
                None
            }
        }
    }

    #[inline]
    fn settle(
        &self,
        slot: &Slot,
        admission: Admission,
        outcome: Outcome,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Event> {
        let settings = &self.upstream.settings.breaker;
        let transition =
            slot.breaker(self.scope).settle(settings, admission, outcome, now, chance)?;
        Some(self.upstream.note_transition(self.endpoint, self.scope, transition, now))
    }

    /// Throttling says that the endpoint is loaded, not that it is broken: balancing and the throttle's end heed
    /// it, breaker and ejection don't.
    fn throttle(&self, state: &Endpoint, hint: Option<Duration>, now: Timestamp) -> Option<Event> {
        let penalty = hint.unwrap_or(Duration::ZERO).max(self.upstream.settings.failure_penalty);
        state.latency.observe(penalty.min(LONGEST_PENALTY), self.upstream.decay, now);
        let until = now + hint.unwrap_or(THROTTLED_FOR);
        let before = state.throttled_until.put_off(until);
        // Each answer of a throttling endpoint moves the end a little; only what is news is told.
        let is_news = before <= now || until > before + WORTH_TELLING;
        (is_news && until > now)
            .then_some(Event::EndpointThrottled { endpoint: self.endpoint, until })
    }

    #[inline]
    fn slot(&self) -> Option<&Slot> {
        self.upstream.slot(self.endpoint)
    }
}

impl Upstream {
    /// What an attempt's end teaches the limits.
    #[inline]
    fn note_load(&self, slot: &Slot, report: Report, now: Timestamp) {
        let in_flight = || slot.state.in_flight.load(Relaxed);
        match report {
            Report::Answered(took) => {
                self.gate.on_answer(took, now);
                if let Some(limit) = &slot.limit {
                    let _ = limit.on_answer(took, in_flight(), now);
                }
            }
            Report::TimedOut(_) | Report::Throttled(_) | Report::RateLimited { .. } => {
                self.gate.on_drop(now);
                if let Some(limit) = &slot.limit {
                    let _ = limit.on_drop(in_flight(), now);
                }
            }
            // It broke for other reasons than want of room, or there is no telling.
            Report::Broke | Report::Outrun(_) | Report::NoNews => {}
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        let admission = self.admission.take();
        let Some(slot) = self.slot() else { return };
        if let Some(admission) = admission {
            slot.breaker(self.scope).release(admission);
        }
        slot.state.in_flight.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("endpoint", &self.upstream.endpoint_name(self.endpoint))
            .field("scope", &self.scope)
            .field("is_probe", &self.is_probe)
            .field("reported", &self.admission.is_none())
            .finish_non_exhaustive()
    }
}

/// The longest latency that is booked: a longer hint is heeded by the throttle's end, not by the average.
const LONGEST_PENALTY: Duration = Duration::from_secs(300);

/// How long a throttling endpoint that gives no hint is left alone.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// By how much a throttle's end must move to be told again.
const WORTH_TELLING: Duration = Duration::from_secs(1);
