//! What a route says about its calls, and what a request says about itself.

use core::time::Duration;

use crate::breaks::StatusSet;
use crate::breaks::safety::Repetition;
use crate::check::{Check, Problems};
use crate::retry::RetrySettings;
use crate::upstream::ScopeId;

/// The policy for the calls of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPolicy {
    /// From the call's start to the head of its answer, all attempts and waits included. 10 ms to 24 h, default
    /// 30 s. Too low: slow answers are thrown away; too high: the application waits for what won't come.
    pub total_timeout: Duration,
    /// From an attempt's start to the head of its answer, or since the request's body last moved. 1 ms to
    /// `total_timeout`, default 10 s. Too low: work is thrown away and done again; too high: a hang costs that long.
    pub attempt_timeout: Duration,
    /// When and how often it is tried again.
    pub retry: RetrySettings,
    /// Statuses that count as failures of the endpoint. Default: 408 and most 5xx.
    pub failures: StatusSet,
    /// Whether the route's requests may be done twice whatever their method. Default false.
    pub idempotent: bool,
    /// Whose breaker judges. Default: the endpoint's own.
    pub scope: ScopeId,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            total_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            retry: RetrySettings::default(),
            failures: StatusSet::DEFAULT,
            idempotent: false,
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
        problems.within("retry", &self.retry);
    }
}

/// What a request says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// What may be done twice.
    pub repetition: Repetition,
    /// What consistent hashing goes by.
    pub hash: Option<u64>,
}

impl CallFacts {
    /// The facts of a request with this method under `policy`.
    #[must_use]
    pub fn of(method: &str, has_idempotency_key: bool, policy: &CallPolicy) -> Self {
        Self {
            repetition: Repetition::of(method, has_idempotency_key, policy.idempotent),
            hash: None,
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
