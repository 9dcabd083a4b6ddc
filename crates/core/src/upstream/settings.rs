//! What is decided for all calls to an upstream alike, with the rules that the values must keep.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::breaker::BreakerSettings;
use crate::budget::BudgetSettings;
use crate::check::{Check, Problems};
use crate::ratio::Ratio;

use super::LoadSettings;

/// One address of an upstream, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// What it is called in records, and by what its state is found again after a reload. Unique in its upstream,
    /// not empty.
    pub name: String,
    /// Failover rank: tier 0 is used first. 0 to 7; a rank without endpoints is passed over.
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
    /// How often the statistics are looked at. 100 ms to 10 min, default 10 s.
    pub interval: Duration,
    /// First ejection time; grows with each ejection, shrinks with each clean interval. 100 ms to 1 h, default 30 s.
    pub eject_for: Duration,
    /// Longest ejection before jitter. At least `eject_for`, at most 24 h, default 300 s.
    pub eject_cap: Duration,
    /// Most endpoints ejected at a time, but always at least one. Default 10 %.
    pub max_ejected: Ratio,
    /// Ejected below mean − this many hundredths of a standard deviation. 0 to 1000, default 190; 0 switches the rule
    /// off.
    pub stdev_factor_percent: u16,
    /// Ejected at this share of failures. Above 0, default 85 %; `None` switches the rule off.
    pub failure_share: Option<Ratio>,
    /// Endpoints with enough calls below which neither rule is applied. 1 to 1000, default 5.
    pub minimum_endpoints: u16,
    /// Calls in the interval below which an endpoint isn't judged. 1 to 1,000,000, default 100.
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
        length(problems, "interval", self.interval, 100 * MS..=600 * S, "100ms to 10m");
        length(problems, "eject_for", self.eject_for, 100 * MS..=3600 * S, "100ms to 1h");
        length(
            problems,
            "eject_cap",
            self.eject_cap,
            self.eject_for..=86_400 * S,
            "at least eject_for, at most 24h",
        );
        problems.require(
            self.stdev_factor_percent <= 1000,
            "stdev_factor_percent",
            self.stdev_factor_percent,
            "0 to 1000",
        );
        problems.require(
            self.failure_share != Some(Ratio::ZERO),
            "failure_share",
            self.failure_share,
            "more than 0 %",
        );
        problems.require(
            (1..=1000).contains(&self.minimum_endpoints),
            "minimum_endpoints",
            self.minimum_endpoints,
            "1 to 1000",
        );
        problems.require(
            (1..=1_000_000).contains(&self.minimum_calls),
            "minimum_calls",
            self.minimum_calls,
            "1 to 1000000",
        );
    }
}

/// When active checks change their mind about an endpoint, and how often they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Time between checks of a healthy endpoint, ± 10 % jitter. 100 ms to 1 h, default 5 s.
    pub interval: Duration,
    /// Time between checks of one that is unhealthy, ejected, or whose breaker isn't closed. 100 ms to `interval`,
    /// default 1 s.
    pub interval_down: Duration,
    /// Passed checks in a row that make it healthy. 1 to 100, default 1.
    pub rise: u8,
    /// Failed checks in a row that make it unhealthy. 1 to 100, default 3.
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
        length(problems, "interval", self.interval, 100 * MS..=3600 * S, "100ms to 1h");
        length(
            problems,
            "interval_down",
            self.interval_down,
            100 * MS..=self.interval,
            "100ms to the interval of healthy ones",
        );
        problems.require((1..=100).contains(&self.rise), "rise", self.rise, "1 to 100");
        problems.require((1..=100).contains(&self.fall), "fall", self.fall, "1 to 100");
    }
}

/// Everything that is decided for all calls to an upstream alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// 1 to 1000 endpoints, names unique. The default has none, so it has to be filled in.
    pub endpoints: Vec<EndpointSettings>,
    /// How one is chosen. Default peak EWMA.
    pub balance: Balance,
    /// Decay time of the latency average. 100 ms to 10 min, default 10 s.
    pub ewma_decay: Duration,
    /// Latency that is booked for a failure, so that failing fast attracts nothing. 1 ms to 5 min, default 5 s.
    pub failure_penalty: Duration,
    /// A tier is used alone while its usable share × this (in percent) is at least 100 %; below it, the rest
    /// spills to the next tier. Default 140. 100 to 1000.
    pub overprovision_percent: u16,
    /// How long an endpoint that came back takes to its full share. At most 1 h, default 1 s; zero switches it off.
    pub slow_start: Duration,
    /// Whether an endpoint is asked although none is usable (all unhealthy or ejected). Never past an open breaker. Default true.
    pub fail_open: bool,
    /// Breakers.
    pub breaker: BreakerSettings,
    /// Names of the routes that have breakers of their own at each endpoint; route n has
    /// [`ScopeId`](super::ScopeId) n + 1. At most 64, unique, not empty.
    pub scopes: Vec<String>,
    /// Statistical ejection; `None` switches it off.
    pub ejection: Option<EjectionSettings>,
    /// Active checks; `None` when there are none.
    pub health: Option<HealthSettings>,
    /// The account for extra attempts.
    pub budget: BudgetSettings,
    /// How much of it may be under way at once, and how fast it may go. Default: no limits.
    pub load: LoadSettings,
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
            load: LoadSettings::default(),
        }
    }
}

impl Check for UpstreamSettings {
    fn check(&self, problems: &mut Problems) {
        self.check_endpoints(problems);
        length(problems, "ewma_decay", self.ewma_decay, 100 * MS..=600 * S, "100ms to 10m");
        length(problems, "failure_penalty", self.failure_penalty, MS..=300 * S, "1ms to 5m");
        problems.require(
            (100..=1000).contains(&self.overprovision_percent),
            "overprovision_percent",
            self.overprovision_percent,
            "100 to 1000",
        );
        length(problems, "slow_start", self.slow_start, Duration::ZERO..=3600 * S, "0s to 1h");
        problems.within("breaker", &self.breaker);
        self.check_scopes(problems);
        if let Some(ejection) = &self.ejection {
            problems.within("ejection", ejection);
        }
        if let Some(health) = &self.health {
            problems.within("health", health);
        }
        problems.within("budget", &self.budget);
        problems.within("load", &self.load);
    }
}

impl UpstreamSettings {
    fn check_endpoints(&self, problems: &mut Problems) {
        let count = self.endpoints.len();
        problems.require(
            (1..=MOST_ENDPOINTS).contains(&count),
            "endpoints",
            format_args!("a list of {count}"),
            "1 to 1000 endpoints",
        );
        let mut names = BTreeSet::new();
        for EndpointSettings { name, tier, weight } in &self.endpoints {
            problems.require(!name.is_empty(), "endpoints.name", name, "a name that isn't empty");
            problems.require(names.insert(name), "endpoints.name", name, "a name not used before");
            problems.require(
                *tier < TIERS,
                "endpoints.tier",
                format_args!("{tier} of {name:?}"),
                "0 to 7",
            );
            problems.require(
                (1..=1000).contains(weight),
                "endpoints.weight",
                format_args!("{weight} of {name:?}"),
                "1 to 1000",
            );
        }
    }

    fn check_scopes(&self, problems: &mut Problems) {
        let count = self.scopes.len();
        problems.require(
            count <= MOST_SCOPES,
            "scopes",
            format_args!("a list of {count}"),
            "at most 64 names",
        );
        let mut names = BTreeSet::new();
        for name in &self.scopes {
            problems.require(!name.is_empty(), "scopes", name, "a name that isn't empty");
            problems.require(names.insert(name), "scopes", name, "a name not used before");
        }
    }
}

fn length(
    problems: &mut Problems,
    place: &'static str,
    value: Duration,
    range: RangeInclusive<Duration>,
    allowed: &'static str,
) {
    problems.require(range.contains(&value), place, value, allowed);
}

/// Endpoints are named by 16 bits, tables are rebuilt in linear time and some scans are linear: a thousand keeps
/// each of them below a tenth of a millisecond.
const MOST_ENDPOINTS: usize = 1000;

/// Failover ranks. More than a handful is a mistake in every deployment that was looked at.
const TIERS: u8 = 8;

/// Each scope costs a breaker per endpoint.
const MOST_SCOPES: usize = 64;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use std::string::ToString;
    use std::vec;

    fn endpoint(name: &str, tier: u8, weight: u16) -> EndpointSettings {
        EndpointSettings { name: name.to_string(), tier, weight }
    }

    /// The settings differ from the defaults by `change`; the places of all problems are `places`.
    #[track_caller]
    fn check(change: impl FnOnce(&mut UpstreamSettings), places: &[&str]) {
        let mut settings =
            UpstreamSettings { endpoints: vec![endpoint("a", 0, 1)], ..Default::default() };
        change(&mut settings);
        let found: Vec<String> = match Checked::new(settings) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.place).collect(),
        };
        assert_eq!(found, places);
    }

    #[test]
    fn the_defaults_need_nothing_but_endpoints() {
        check(|_| {}, &[]);
        check(|s| s.endpoints.clear(), &["endpoints"]);
    }

    #[test]
    fn each_wrong_endpoint_is_named() {
        let wrong = vec![endpoint("", 0, 1), endpoint("b", 8, 0), endpoint("b", 7, 1001)];
        check(
            |s| s.endpoints = wrong,
            &[
                "endpoints.name",
                "endpoints.tier",
                "endpoints.weight",
                "endpoints.name",
                "endpoints.weight",
            ],
        );
        let many = (0..1001).map(|n| endpoint(&n.to_string(), 0, 1)).collect();
        check(|s| s.endpoints = many, &["endpoints"]);
    }

    #[test]
    fn each_length_and_count_has_a_range() {
        check(|s| s.ewma_decay = Duration::ZERO, &["ewma_decay"]);
        check(|s| s.failure_penalty = Duration::MAX, &["failure_penalty"]);
        check(|s| s.overprovision_percent = 99, &["overprovision_percent"]);
        check(|s| s.slow_start = Duration::MAX, &["slow_start"]);
        check(|s| s.slow_start = Duration::ZERO, &[]);
        check(|s| s.scopes = vec!["x".to_string(), "x".to_string()], &["scopes"]);
        check(|s| s.scopes = (0..65).map(|n| n.to_string()).collect(), &["scopes"]);
    }

    #[test]
    fn the_rules_of_ejection_and_health_are_asked_too() {
        let ejection = EjectionSettings {
            interval: Duration::ZERO,
            eject_cap: S,
            failure_share: Some(Ratio::ZERO),
            minimum_calls: 0,
            ..Default::default()
        };
        let places = [
            "ejection.interval",
            "ejection.eject_cap",
            "ejection.failure_share",
            "ejection.minimum_calls",
        ];
        check(|s| s.ejection = Some(ejection), &places);
        let health = HealthSettings { interval_down: 6 * S, rise: 0, ..Default::default() };
        check(|s| s.health = Some(health), &["health.interval_down", "health.rise"]);
    }
}
