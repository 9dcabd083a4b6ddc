//! What there is to show about each endpoint.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use super::endpoint::Slot;
use super::health::LastCheck;
use super::settings::EndpointSettings;
use super::{EndpointId, ScopeId, Upstream};
use crate::breaker::{BreakerMode, BreakerState, Forced, WindowCounts};
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// An endpoint, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Its name.
    pub name: String,
    /// Its tier.
    pub tier: u8,
    /// Its weight.
    pub weight: u16,
    /// Whether active checks find it healthy; true when there are none.
    pub healthy: bool,
    /// The last active check, if there was one.
    pub last_check: Option<LastCheck>,
    /// Until when it is ejected, if it is.
    pub ejected_until: Option<Timestamp>,
    /// Until when it asked to be left alone, if it did.
    pub throttled_until: Option<Timestamp>,
    /// State of its own breaker.
    pub breaker: BreakerState,
    /// Whether its breaker stops anything while it is open: in mode `off` it only watches.
    pub breaker_stops: bool,
    /// What an operator ordered.
    pub forced: Forced,
    /// Whether an operator ordered that it gets nothing new.
    pub drained: bool,
    /// Breakers of routes that have their own: name and state.
    pub route_breakers: Vec<(String, BreakerState)>,
    /// Calls and failures in its breaker's window.
    pub counts: WindowCounts,
    /// Peak-EWMA latency.
    pub latency: Duration,
    /// Attempts out now, bodies being delivered included.
    pub in_flight: u32,
    /// Share of its weight in use, less than all while it starts slowly.
    pub warm: Ratio,
}

impl Upstream {
    /// Everything there is to show about each endpoint, in the order of the settings.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> Vec<EndpointView> {
        let endpoints = self.settings.endpoints.iter();
        endpoints
            .zip(&self.slots)
            .map(|(endpoint, slot)| self.view_of(endpoint, slot, now))
            .collect()
    }

    /// The state of the breaker that judges calls of this scope at an endpoint; `None` for an id of another upstream.
    #[must_use]
    pub fn breaker_state(
        &self,
        endpoint: EndpointId,
        scope: ScopeId,
        now: Timestamp,
    ) -> Option<BreakerState> {
        self.slot(endpoint).map(|slot| slot.breaker(scope).state(now))
    }

    fn view_of(&self, endpoint: &EndpointSettings, slot: &Slot, now: Timestamp) -> EndpointView {
        let state = &slot.state;
        let warm = state.warming.share(self.settings.slow_start, now);
        let routes = self.settings.scopes.iter().zip(&slot.routes);
        EndpointView {
            name: endpoint.name.clone(),
            tier: endpoint.tier,
            weight: endpoint.weight,
            healthy: !state.unhealthy.load(Relaxed),
            last_check: state.last_check.get(),
            ejected_until: state.ejected_until.ahead_of(now),
            throttled_until: state.throttled_until.ahead_of(now),
            breaker: state.breaker.state(now),
            breaker_stops: self.settings.breaker.mode != BreakerMode::Off,
            forced: state.breaker.forced(),
            drained: state.drained.load(Relaxed),
            route_breakers: routes.map(|(name, it)| (name.clone(), it.state(now))).collect(),
            counts: state.breaker.counts(&self.settings.breaker, now),
            latency: state.latency.shown(self.decay, now),
            in_flight: state.in_flight.load(Relaxed),
            warm: Ratio::from_share(warm as f64 / 10_000.0).unwrap_or(Ratio::ONE),
        }
    }
}
