//! Active checks: when each endpoint is due for one, and when their outcomes change what is thought of it.
//!
//! Who makes the checks is the driver's affair. It asks [`Upstream::checks_due`], which hands each due endpoint to one
//! of those who ask, and brings the outcome to [`Upstream::on_check`].

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use super::endpoint::Slot;
use super::settings::HealthSettings;
use super::{EndpointId, ScopeId, Upstream};
use crate::breaker::BreakerState;
use crate::breaks::BreakKind;
use crate::chance::Chance;
use crate::event::Event;
use crate::time::Timestamp;

/// Outcomes in a row: above zero passed ones, below zero failed ones.
#[derive(Debug, Default)]
pub(super) struct Streak(AtomicI32);

impl Streak {
    /// Counts an outcome. Returns how many there are in a row now, this one included.
    fn count(&self, passed: bool) -> u32 {
        let longer = |streak: i32| match (passed, streak) {
            (true, ..0) => 1,
            (true, 0..) => streak.saturating_add(1),
            (false, 1..) => -1,
            (false, ..=0) => streak.saturating_sub(1),
        };
        let mut streak = self.0.load(Relaxed);
        loop {
            let next = longer(streak);
            match self.0.compare_exchange_weak(streak, next, Relaxed, Relaxed) {
                Ok(_) => return next.unsigned_abs(),
                Err(other) => streak = other,
            }
        }
    }
}

/// An active check that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCheck {
    /// When it was over, to the microsecond.
    pub at: Timestamp,
    /// What broke; `None` when it passed.
    pub broke: Option<BreakKind>,
}

/// The last check, in one word, so that time and outcome are always of the same one: microseconds, then a byte that is 0
/// for a passed check and the kind's place plus one otherwise. Zero: none yet.
#[derive(Debug, Default)]
pub(super) struct LastOutcome(AtomicU64);

impl LastOutcome {
    fn set(&self, at: Timestamp, broke: Option<BreakKind>) {
        let micros = (at.as_nanos() / 1000).max(1);
        let outcome = broke.map_or(0, |kind| kind as u64 + 1);
        self.0.store(micros << 8 | outcome, Relaxed);
    }

    pub(super) fn get(&self) -> Option<LastCheck> {
        let word = self.0.load(Relaxed);
        let place = usize::from(word.to_le_bytes()[0]).checked_sub(1);
        (word != 0).then(|| LastCheck {
            at: Timestamp::from_nanos((word >> 8).saturating_mul(1000)),
            broke: place.and_then(|place| BreakKind::ALL.get(place).copied()),
        })
    }
}

/// When endpoint number `place` is checked for the first time: the first one almost at once, the others within a second.
pub(super) fn first_check(place: usize, now: Timestamp, chance: &mut Chance) -> Timestamp {
    let spread = if place == 0 { FIRST_WITHIN } else { OTHERS_WITHIN };
    now + chance.up_to(spread)
}

impl Upstream {
    /// The endpoints whose active check is due at `now`; each is then not due again for its interval. Empty when
    /// there are no checks.
    #[must_use]
    pub fn checks_due(&self, now: Timestamp, chance: &mut Chance) -> Vec<EndpointId> {
        let Some(health) = &self.settings.health else { return Vec::new() };
        let is_due = |slot: &Slot, chance: &mut Chance| {
            slot.state.next_check.claim(now, || {
                let interval =
                    if is_well(slot, now) { health.interval } else { health.interval_down };
                now + interval * 9 / 10 + chance.up_to(interval / 5)
            })
        };
        self.slots()
            .filter_map(|(endpoint, slot)| is_due(slot, chance).then_some(endpoint))
            .collect()
    }

    /// Whether an endpoint is neither unhealthy nor ejected, and its own breaker is closed.
    #[must_use]
    pub fn is_well(&self, endpoint: EndpointId, now: Timestamp) -> bool {
        self.slot(endpoint).is_some_and(|slot| is_well(slot, now))
    }

    /// Takes in the outcome of an active check. A passed one ends an ejection and lets an open breaker probe.
    ///
    /// An ejection ends only once the endpoint counts as healthy. Only its own breaker may probe: a check says
    /// nothing about the routes that have breakers of their own.
    #[must_use]
    pub fn on_check(
        &self,
        endpoint: EndpointId,
        outcome: Result<(), BreakKind>,
        now: Timestamp,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let (Some(health), Some(slot)) = (&self.settings.health, self.slot(endpoint)) else {
            return events;
        };
        let in_a_row = slot.state.streak.count(outcome.is_ok());
        slot.state.last_check.set(now, outcome.err());
        let Err(kind) = outcome else {
            if in_a_row >= u32::from(health.rise) {
                self.find_healthy(endpoint, slot, now, &mut events);
            }
            let (breaker, settings) = (&slot.state.breaker, &self.settings.breaker);
            let transition = match in_a_row {
                1 => breaker.on_check_turned(settings, now),
                _ if !self.has_another(endpoint, now) => breaker.on_check_passed(settings, now),
                _ => None,
            };
            if let Some(transition) = transition {
                events.push(self.note_transition(endpoint, ScopeId::default(), transition, now));
            }
            return events;
        };
        if in_a_row >= u32::from(health.fall) {
            self.find_unhealthy((endpoint, slot), kind, now, &mut events);
        } else {
            self.check_soon(slot, now);
        }
        events
    }

    /// Whether calls have somewhere else to go, so that an open breaker may take its time.
    ///
    /// A check that passes after one that failed has seen the trouble end. One that never failed proves little: a server
    /// that accepts connections and never answers passes it, and each probe is somebody's call. It is believed only
    /// where there is no other endpoint left to ask.
    fn has_another(&self, endpoint: EndpointId, now: Timestamp) -> bool {
        self.slots().any(|(other, slot)| other != endpoint && is_well(slot, now))
    }

    fn find_healthy(
        &self,
        endpoint: EndpointId,
        slot: &Slot,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let state = &slot.state;
        if state.unhealthy.swap(false, Relaxed) {
            state.come_back(now);
            events.push(Event::EndpointHealthy { endpoint });
        }
        if state.ejected_until.clear() {
            state.come_back(now);
            events.push(Event::EndpointReturned { endpoint });
        }
        if !events.is_empty() {
            self.tiers.touch();
            self.on_light();
        }
    }

    fn find_unhealthy(
        &self,
        (endpoint, slot): (EndpointId, &Slot),
        kind: BreakKind,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        if !slot.state.unhealthy.swap(true, Relaxed) {
            self.check_soon(slot, now);
            self.tiers.touch();
            events.push(Event::EndpointUnhealthy { endpoint, kind });
        }
    }

    /// The endpoint is down as of now, or there is a reason to think so: its next check comes by the shorter interval.
    pub(super) fn check_soon(&self, slot: &Slot, now: Timestamp) {
        if let Some(HealthSettings { interval_down, .. }) = &self.settings.health {
            slot.state.next_check.bring_forward(now + *interval_down);
        }
    }
}

/// Whether it is checked by the longer interval.
fn is_well(slot: &Slot, now: Timestamp) -> bool {
    slot.state.is_well(now) && slot.state.breaker.state(now) == BreakerState::Closed
}

/// A process that has just started wants to know soon whether its first choice is there.
const FIRST_WITHIN: Duration = Duration::from_millis(100);

/// Spread, so that a fleet that starts together doesn't knock everywhere at once.
const OTHERS_WITHIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_ends_with_the_first_other_outcome() {
        let streak = Streak::default();
        let counts = [true, true, false, false, false, true].map(|passed| streak.count(passed));
        assert_eq!(counts, [1, 2, 1, 2, 3, 1]);
    }

    #[test]
    fn the_last_check_is_known_with_whatever_broke() {
        let last = LastOutcome::default();
        assert_eq!(last.get(), None);
        let outcomes = BreakKind::ALL.into_iter().map(Some).chain([None]);
        for broke in outcomes {
            let at = Timestamp::from_nanos(5_000_000);
            last.set(at, broke);
            assert_eq!(last.get(), Some(LastCheck { at, broke }));
        }
    }
}
