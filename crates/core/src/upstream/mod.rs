//! An upstream: a named service with its endpoints, and everything that all calls to it share.
//!
//! [`Upstream::pick`] chooses an endpoint and hands out a [`Permit`], which ties the outcome to its admission: it
//! counts as in flight until it is dropped, and an attempt that was dropped without news releases its breaker
//! slot. The hot path (pick, settle) is `&self`, lock-free, and allocates nothing. Its cost doesn't grow with the number of endpoints.
//!
//! Settings change by making a new generation ([`Upstream::renewed`]) that shares the state of the endpoints that
//! remain; permits of the old generation still report to that shared state.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::breaker::{BreakerSettings, BreakerState, Forced, WindowCounts};
use crate::breaks::BreakKind;
use crate::budget::{Budget, BudgetSettings};
use crate::chance::Chance;
use crate::check::{Check, Checked, Problems};
use crate::event::Event;
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// Which endpoint of an upstream: its place in this generation's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u16);

/// Whose breaker judges an attempt: the endpoint's own (0), or that of a route which has one at each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ScopeId(pub u8);

/// One address of an upstream, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// What it is called in records, and by what its state is found again after a reload. Unique in its upstream.
    pub name: String,
    /// Failover rank: tier 0 is used first. 0 to 7.
    pub tier: u8,
    /// Share of the tier's calls. 1 to 1000, default 1.
    pub weight: u16,
}

/// How an endpoint is chosen among those of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Balance {
    /// The cheaper of two random ones, by peak-EWMA latency × attempts in flight (Finagle's PeakEWMA, P2C). Default.
    PeakEwma,
    /// One after the other, by weight.
    RoundRobin,
    /// The one of two random ones with fewer attempts in flight.
    LeastRequest,
    /// The same hash goes to the same endpoint; the next one on the ring while that one is out.
    ConsistentHash,
}

/// When an endpoint is ejected by what was observed, compared with its peers.
///
/// The rules are those of Envoy's outlier detection and gRFC A50.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EjectionSettings {
    /// How often the statistics are looked at. Default 10 s.
    pub interval: Duration,
    /// First ejection time; grows with each ejection, shrinks with each clean interval. Default 30 s.
    pub eject_for: Duration,
    /// Longest ejection. Default 300 s.
    pub eject_cap: Duration,
    /// Most endpoints ejected at a time, but always at least one. Default 10 %.
    pub max_ejected: Ratio,
    /// Ejected below mean − this many hundredths of a standard deviation. Default 190; 0 switches the rule off.
    pub stdev_factor_percent: u16,
    /// Ejected at this share of failures. Default 85 %; `None` switches the rule off.
    pub failure_share: Option<Ratio>,
    /// Endpoints with enough calls below which neither rule is applied. Default 5.
    pub minimum_endpoints: u16,
    /// Calls in the interval below which an endpoint isn't judged. Default 100.
    pub minimum_calls: u32,
}

impl Default for EjectionSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            eject_for: Duration::from_secs(30),
            eject_cap: Duration::from_secs(300),
            max_ejected: Ratio::percent(10),
            stdev_factor_percent: 190,
            failure_share: Some(Ratio::percent(85)),
            minimum_endpoints: 5,
            minimum_calls: 100,
        }
    }
}

impl Check for EjectionSettings {
    fn check(&self, problems: &mut Problems) {
        let _ = problems;
    }
}

/// When active checks change their mind about an endpoint, and how often they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Time between checks of a healthy endpoint, ± 10 % jitter. Default 5 s.
    pub interval: Duration,
    /// Time between checks of one that is unhealthy or whose breaker isn't closed. Default 1 s.
    pub interval_down: Duration,
    /// Passed checks in a row that make it healthy. Default 1.
    pub rise: u8,
    /// Failed checks in a row that make it unhealthy. Default 3.
    pub fall: u8,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            interval_down: Duration::from_secs(1),
            rise: 1,
            fall: 3,
        }
    }
}

impl Check for HealthSettings {
    fn check(&self, problems: &mut Problems) {
        let _ = problems;
    }
}

/// Everything that is decided for all calls to an upstream alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// 1 to 1000 endpoints, names unique.
    pub endpoints: Vec<EndpointSettings>,
    /// How one is chosen. Default peak EWMA.
    pub balance: Balance,
    /// Decay time of the latency average. Default 10 s.
    pub ewma_decay: Duration,
    /// Latency that is booked for a failure, so that failing fast attracts nothing. Default 5 s.
    pub failure_penalty: Duration,
    /// A tier is used alone while its usable share × this (in percent) is at least 100 %; below it, the rest
    /// spills to the next tier. Default 140. 100 to 1000.
    pub overprovision_percent: u16,
    /// How long an endpoint that came back takes to its full share. Default 1 s; zero switches it off.
    pub slow_start: Duration,
    /// Whether an endpoint is asked although none is usable (all unhealthy or ejected). Never past an open breaker. Default true.
    pub fail_open: bool,
    /// Breakers.
    pub breaker: BreakerSettings,
    /// Names of the routes that have breakers of their own at each endpoint; route n has [`ScopeId`] n + 1. At most 64.
    pub scopes: Vec<String>,
    /// Statistical ejection; `None` switches it off.
    pub ejection: Option<EjectionSettings>,
    /// Active checks; `None` when there are none.
    pub health: Option<HealthSettings>,
    /// The account for extra attempts.
    pub budget: BudgetSettings,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            balance: Balance::PeakEwma,
            ewma_decay: Duration::from_secs(10),
            failure_penalty: Duration::from_secs(5),
            overprovision_percent: 140,
            slow_start: Duration::from_secs(1),
            fail_open: true,
            breaker: BreakerSettings::default(),
            scopes: Vec::new(),
            ejection: Some(EjectionSettings::default()),
            health: Some(HealthSettings::default()),
            budget: BudgetSettings::default(),
        }
    }
}

impl Check for UpstreamSettings {
    fn check(&self, problems: &mut Problems) {
        problems.within("breaker", &self.breaker);
        problems.within("budget", &self.budget);
    }
}

/// What a pick has to heed.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// Endpoints already tried by this call: avoided while others are usable.
    pub tried: &'a [EndpointId],
    /// Whose breaker judges.
    pub scope: ScopeId,
    /// Whether this is an extra attempt (what a breaker in mode stop-retries stops).
    pub extra: bool,
    /// The hash for consistent hashing; without one, chance decides.
    pub hash: Option<u64>,
}

/// A chosen endpoint.
#[derive(Debug)]
pub struct Pick {
    /// Lets one attempt pass to it.
    pub permit: Permit,
    /// Whether nothing was usable and it was chosen all the same.
    pub failed_open: bool,
    /// A breaker's change of state that the pick caused (open to half-open).
    pub event: Option<Event>,
}

/// Nothing can be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPick {
    /// [`BreakKind::BreakerOpen`] or [`BreakKind::NoEndpoint`].
    pub kind: BreakKind,
    /// When it is worth asking again, if that is known.
    pub until: Option<Timestamp>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// An answer that is no break, with the time to its head.
    Answered(Duration),
    /// It broke, by the endpoint's fault.
    Broke,
    /// The endpoint asked to be left alone, for so long if it said.
    Throttled(Option<Duration>),
    /// It ended for reasons of our own or the application's: says nothing about the endpoint.
    NoNews,
}

/// A service and its endpoints.
#[derive(Debug)]
pub struct Upstream {
    settings: Checked<UpstreamSettings>,
    budget: Arc<Budget>,
}

impl Upstream {
    /// A new upstream: all endpoints usable, all breakers closed.
    #[must_use]
    pub fn new(
        settings: Checked<UpstreamSettings>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Arc<Self> {
        let _ = (settings, now, chance);
        todo!()
    }

    /// The next generation, by new settings: endpoints that are still there by name keep their state.
    #[must_use]
    pub fn renewed(
        &self,
        settings: Checked<UpstreamSettings>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Arc<Self> {
        let _ = (settings, now, chance);
        todo!()
    }

    /// The settings of this generation.
    #[must_use]
    pub fn settings(&self) -> &Checked<UpstreamSettings> {
        &self.settings
    }

    /// The account that pays for extra attempts.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The name of an endpoint; empty for an id of another upstream.
    #[must_use]
    pub fn endpoint_name(&self, endpoint: EndpointId) -> &str {
        let _ = endpoint;
        todo!()
    }

    /// Chooses an endpoint and lets one attempt pass to it.
    ///
    /// Tried endpoints are avoided while others are usable, throttled ones too. A single endpoint is picked again.
    ///
    /// # Errors
    ///
    /// [`NoPick`] when every breaker refuses, or nothing is usable and `fail_open` is off.
    pub fn pick(
        self: &Arc<Self>,
        want: Want<'_>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Pick, NoPick> {
        let _ = (want, now, chance);
        todo!()
    }

    /// Picks this very endpoint, for a request that was never sent and goes again over a fresh connection.
    ///
    /// # Errors
    ///
    /// [`NoPick`] when its breaker refuses.
    pub fn pick_again(
        self: &Arc<Self>,
        endpoint: EndpointId,
        scope: ScopeId,
        now: Timestamp,
    ) -> Result<Pick, NoPick> {
        let _ = (endpoint, scope, now);
        todo!()
    }

    /// Looks at the statistics when their time has come, ends ejections, refreshes the tiers' shares. Call it at
    /// [`Upstream::next_deadline`], or each second.
    #[must_use]
    pub fn on_time(&self, now: Timestamp, chance: &mut Chance) -> Vec<Event> {
        let _ = (now, chance);
        todo!()
    }

    /// When [`Upstream::on_time`] or a health check is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        todo!()
    }

    /// The endpoints whose active check is due at `now`; each is then not due again for its interval. Empty when
    /// there are no checks.
    #[must_use]
    pub fn checks_due(&self, now: Timestamp, chance: &mut Chance) -> Vec<EndpointId> {
        let _ = (now, chance);
        todo!()
    }

    /// Takes in the outcome of an active check. A passed one ends an ejection and lets an open breaker probe.
    #[must_use]
    pub fn on_check(&self, endpoint: EndpointId, passed: bool, now: Timestamp) -> Vec<Event> {
        let _ = (endpoint, passed, now);
        todo!()
    }

    /// An operator's order for every breaker of an endpoint.
    #[must_use]
    pub fn force(&self, endpoint: EndpointId, order: Forced, now: Timestamp) -> Vec<Event> {
        let _ = (endpoint, order, now);
        todo!()
    }

    /// The body of an answer broke after its head had been booked as a success.
    pub fn note_body_failure(
        &self,
        endpoint: EndpointId,
        scope: ScopeId,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Event> {
        let _ = (endpoint, scope, now, chance);
        todo!()
    }

    /// Everything there is to show about each endpoint, in the order of the settings.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> Vec<EndpointView> {
        let _ = now;
        todo!()
    }
}

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
    /// Until when it is ejected, if it is.
    pub ejected_until: Option<Timestamp>,
    /// Until when it asked to be left alone, if it did.
    pub throttled_until: Option<Timestamp>,
    /// State of its own breaker.
    pub breaker: BreakerState,
    /// What an operator ordered.
    pub forced: Forced,
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

/// One attempt's pass to one endpoint. In flight until dropped; dropped without a report, it is no news.
#[must_use = "dropping a permit at once takes the admission back"]
#[derive(Debug)]
pub struct Permit {}

impl Permit {
    /// Where it leads.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        todo!()
    }

    /// The generation that gave it.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        todo!()
    }

    /// Whether the attempt is a probe of a half-open breaker.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        todo!()
    }

    /// Reports what came of the attempt, once; later reports count for nothing. It stays in flight until dropped.
    pub fn report(&mut self, report: Report, now: Timestamp, chance: &mut Chance) -> Option<Event> {
        let _ = (report, now, chance);
        todo!()
    }
}
