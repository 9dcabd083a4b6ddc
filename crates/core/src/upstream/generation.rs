//! Making a generation: from settings alone, or from settings and the generation before.
//!
//! State is found again by name: the endpoint's, and that of each route's breaker at it. What is new to a running
//! upstream starts slowly; at the start of the process everything is new, and nobody could take over meanwhile.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::balance::{Member, Table};
use super::dark::Dark;
use super::endpoint::{Endpoint, Slot};
use super::health::first_check;
use super::latency::Decay;
use super::load::{Gate, renewed_limit};
use super::moment::Moment;
use super::settings::{EndpointSettings, UpstreamSettings};
use super::tier::{Tier, Tiers};
use super::{EndpointId, Upstream};
use crate::breaker::Breaker;
use crate::budget::Budget;
use crate::chance::Chance;
use crate::check::Checked;
use crate::limit::Limit;
use crate::time::Timestamp;

impl Upstream {
    /// A new upstream: all endpoints usable, all breakers closed.
    #[must_use]
    pub fn new(
        settings: Checked<UpstreamSettings>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Arc<Self> {
        let slots = slots(&settings, now, chance, |_, _| None);
        let budget = Budget::new(settings.budget.clone());
        let gate = Gate::new(&settings.load);
        let darks = darks(&settings, |_| None);
        Self::assemble(settings, (budget, gate, darks), slots, None, now, chance)
    }

    /// The next generation, by new settings: endpoints that are still there by name keep their state.
    #[must_use]
    pub fn renewed(
        &self,
        settings: Checked<UpstreamSettings>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Arc<Self> {
        let known: BTreeMap<&str, &Slot> =
            self.slots().map(|(id, slot)| (self.endpoint_name(id), slot)).collect();
        let slots = slots(&settings, now, chance, |endpoint, first_check| {
            Some(match known.get(endpoint.name.as_str()) {
                Some(slot) => self.carried_over(slot, &settings, now),
                None => {
                    let state = Endpoint::new(first_check);
                    state.warming.begin(now);
                    Slot::new(Arc::new(state), new_routes(&settings), new_limit(&settings))
                }
            })
        });
        let budget = if settings.budget == self.settings.budget {
            Arc::clone(&self.budget)
        } else {
            self.budget.renewed(settings.budget.clone())
        };
        let judge_at = self.judge_at.get();
        let gate = self.gate.renewed(&self.settings.load, &settings.load);
        let darks = darks(&settings, |name| {
            let before = match name {
                None => 0,
                Some(name) => 1 + self.settings.scopes.iter().position(|scope| scope == name)?,
            };
            self.darks.get(before).map(Arc::clone)
        });
        Self::assemble(settings, (budget, gate, darks), slots, judge_at, now, chance)
    }

    fn assemble(
        settings: Checked<UpstreamSettings>,
        (budget, gate, darks): (Arc<Budget>, Gate, Box<[Arc<Dark>]>),
        mut slots: Vec<Slot>,
        judge_at: Option<Timestamp>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Arc<Self> {
        let tiers = Tiers::new(tiers(&settings, &mut slots, chance), now);
        let judge_at = settings.ejection.as_ref().map_or(Moment::none(), |ejection| {
            let next = now + ejection.interval;
            Moment::at(judge_at.map_or(next, |planned| planned.min(next)))
        });
        let decay = Decay::over(settings.ewma_decay);
        let upstream = Self {
            settings,
            budget,
            slots: slots.into(),
            tiers,
            gate,
            darks,
            decay,
            judge_at,
            refresh_at: Moment::at(now),
            fastest: AtomicU64::new(0),
        };
        upstream.count_shares(now);
        Arc::new(upstream)
    }

    /// The endpoint's state, and its routes' breakers as far as the new settings name them.
    fn carried_over(&self, slot: &Slot, settings: &UpstreamSettings, now: Timestamp) -> Slot {
        let state = Arc::clone(&slot.state);
        slot.breakers().for_each(|it| it.on_reload(&self.settings.breaker, &settings.breaker));
        let is_cured = (settings.health.is_none() && state.unhealthy.swap(false, Relaxed))
            | (settings.ejection.is_none() && state.ejected_until.clear());
        if is_cured {
            state.come_back(now);
        }
        let route = |name| {
            let before = self.settings.scopes.iter().position(|scope| scope == name)?;
            slot.routes.get(before).map(Arc::clone)
        };
        let routes = settings.scopes.iter().map(|name| route(name).unwrap_or_default()).collect();
        let limit = renewed_limit(slot.limit.as_ref(), settings.load.endpoint_limit.as_ref());
        Slot::new(state, routes, limit)
    }
}

/// A slot for each endpoint of the settings; `known` gives those that need not be new.
fn slots(
    settings: &UpstreamSettings,
    now: Timestamp,
    chance: &mut Chance,
    known: impl Fn(&EndpointSettings, Timestamp) -> Option<Slot>,
) -> Vec<Slot> {
    let endpoints = settings.endpoints.iter().enumerate();
    endpoints
        .map(|(place, endpoint)| {
            let first_check = first_check(place, now, chance);
            known(endpoint, first_check).unwrap_or_else(|| {
                let state = Arc::new(Endpoint::new(first_check));
                Slot::new(state, new_routes(settings), new_limit(settings))
            })
        })
        .collect()
}

fn new_limit(settings: &UpstreamSettings) -> Option<Arc<Limit>> {
    renewed_limit(None, settings.load.endpoint_limit.as_ref())
}

fn new_routes(settings: &UpstreamSettings) -> Box<[Arc<Breaker>]> {
    settings.scopes.iter().map(|_| Arc::default()).collect()
}

/// One for the endpoints' own breakers, and one for each route that has its own; `known` gives those that need not be new.
fn darks(
    settings: &UpstreamSettings,
    known: impl Fn(Option<&str>) -> Option<Arc<Dark>>,
) -> Box<[Arc<Dark>]> {
    let scopes = settings.scopes.iter().map(|name| Some(name.as_ref()));
    core::iter::once(None).chain(scopes).map(|name| known(name).unwrap_or_default()).collect()
}

/// The tiers that have endpoints, and each endpoint's cost of load, which depends on its tier.
fn tiers(settings: &UpstreamSettings, slots: &mut [Slot], chance: &mut Chance) -> Box<[Tier]> {
    let mut ranks: BTreeMap<u8, Vec<Member<'_>>> = BTreeMap::new();
    for ((id, _), endpoint) in ids(slots).zip(&settings.endpoints) {
        let EndpointSettings { name, tier, weight } = endpoint;
        ranks.entry(*tier).or_default().push(Member { id: id.0, name, weight: *weight });
    }
    let tier = |members: Vec<Member<'_>>| {
        let weight: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
        for member in &members {
            if let Some(slot) = slots.get_mut(usize::from(member.id)) {
                slot.load_cost = load_cost(member.weight, weight, members.len() as u64);
            }
        }
        let table = Table::new(settings.balance, &members, chance);
        Tier::new(members.iter().map(|member| member.id).collect(), weight, table)
    };
    ranks.into_values().map(tier).collect()
}

/// The tier's mean weight / this weight, in 1/256; at least 1.
fn load_cost(weight: u16, total: u64, count: u64) -> u32 {
    let cost = (total << 8) / (count * u64::from(weight)).max(1);
    u32::try_from(cost).unwrap_or(u32::MAX).max(1)
}

/// Slots with their ids, in the order of the settings.
pub(super) fn ids(slots: &[Slot]) -> impl Iterator<Item = (EndpointId, &Slot)> {
    (0..=u16::MAX).map(EndpointId).zip(slots)
}
