//! What a route says about its calls, and what a request says about itself.

use core::time::Duration;

use crate::breaks::StatusSet;
use crate::breaks::safety::Repetition;
use crate::check::{Check, Problems};
use crate::heal::HealSettings;
use crate::heal::upload::UploadSettings;
use crate::line::Priority;
use crate::retry::RetrySettings;
use crate::upstream::ScopeId;

use super::{AdaptiveTimeout, HedgeSettings, Layer};

/// The policy for the calls of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPolicy {
    /// From the call's start to the head of its answer, all attempts and waits included. 10 ms to 24 h, default
    /// 30 s. Too low: slow answers are thrown away; too high: the application waits for what won't come.
    pub total_timeout: Duration,
    /// From an attempt's start to the head of its answer, or since the request's body last moved. 1 ms to
    /// `total_timeout`, default 10 s. Too low: work is thrown away and done again; too high: a hang costs that long.
    pub attempt_timeout: Duration,
    /// How an attempt's timeout follows what its endpoint usually takes, up to `attempt_timeout`. Default: not at all.
    pub adaptive_timeout: Option<AdaptiveTimeout>,
    /// When a second attempt is made beside the first. Default: never.
    pub hedge: Option<HedgeSettings>,
    /// When and how often it is tried again.
    pub retry: RetrySettings,
    /// How answers that break are held back and continued.
    pub heal: HealSettings,
    /// How uploads that break are continued by a protocol that the upstream speaks. Default: not at all.
    pub resumable_upload: Option<UploadSettings>,
    /// Statuses that count as failures of the endpoint. Default: 408 and most 5xx.
    pub failures: StatusSet,
    /// Whether the route's requests may be done twice whatever their method. Default false.
    pub idempotent: bool,
    /// Before whom its calls go where they have to wait for room. Default: normal.
    pub priority: Priority,
    /// Whose breaker judges. Default: the endpoint's own.
    pub scope: ScopeId,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            total_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            adaptive_timeout: None,
            hedge: None,
            retry: RetrySettings::default(),
            heal: HealSettings::default(),
            resumable_upload: None,
            failures: StatusSet::DEFAULT,
            idempotent: false,
            priority: Priority::NORMAL,
            scope: ScopeId::default(),
        }
    }
}

impl Check for CallPolicy {
    fn check(&self, problems: &mut Problems) {
        let total = Duration::from_millis(10)..=Duration::from_secs(24 * 60 * 60);
        problems.require(
            total.contains(&self.total_timeout),
            "total_timeout",
            self.total_timeout,
            "10ms to 24h",
        );
        problems.require(
            self.attempt_timeout >= Duration::from_millis(1)
                && self.attempt_timeout <= self.total_timeout,
            "attempt_timeout",
            self.attempt_timeout,
            "1ms to total_timeout",
        );
        if let Some(adaptive) = &self.adaptive_timeout {
            problems.within("adaptive_timeout", adaptive);
            problems.require(
                adaptive.floor <= self.attempt_timeout,
                "adaptive_timeout.floor",
                adaptive.floor,
                "1ms to attempt_timeout",
            );
        }
        if let Some(hedge) = &self.hedge {
            problems.within("hedge", hedge);
        }
        problems.within("retry", &self.retry);
        problems.within("heal", &self.heal);
        if let Some(upload) = &self.resumable_upload {
            problems.within("resumable_upload", upload);
        }
    }
}

/// What a request says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// What may be done twice.
    pub repetition: Repetition,
    /// What consistent hashing goes by.
    pub hash: Option<u64>,
    /// Whether it has a body, which may still be on its way.
    pub has_body: bool,
    /// How much time its caller gives it, if it says so; the policy's `total_timeout` is its cap.
    pub time_left: Option<Duration>,
    /// Before whom it goes, where it says so itself; else the policy's.
    pub priority: Option<Priority>,
    /// Whose share of the rate limits it takes, where they are kept by key.
    pub lane: Option<u64>,
    /// What a layer of retries above says of it.
    pub layer: Option<Layer>,
    /// Whether something else can be given in place of its answer: then it doesn't wait where every breaker is open.
    pub has_stand_in: bool,
}

impl CallFacts {
    /// The facts of a request with this method under `policy`.
    #[must_use]
    pub fn of(method: &str, has_idempotency_key: bool, policy: &CallPolicy) -> Self {
        Self {
            repetition: Repetition::of(method, has_idempotency_key, policy.idempotent),
            hash: None,
            has_body: false,
            time_left: None,
            priority: None,
            lane: None,
            layer: None,
            has_stand_in: false,
        }
    }

    /// These facts, with a hash for consistent hashing.
    #[must_use]
    pub const fn with_hash(self, hash: u64) -> Self {
        Self { hash: Some(hash), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use std::string::ToString;

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert!(Checked::new(CallPolicy::default()).is_ok());
    }

    #[test]
    fn every_broken_rule_is_told_at_once() {
        let policy = CallPolicy {
            total_timeout: Duration::from_millis(1),
            attempt_timeout: Duration::from_secs(1),
            ..CallPolicy::default()
        };
        let problems = Checked::new(policy).map(|_| ()).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].to_string(), "total_timeout is 1ms, allowed is 10ms to 24h");
    }
}
