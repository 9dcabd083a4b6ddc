//! What is odd about an upstream.

use std::time::Duration;

use mainstay_core::Ratio;
use mainstay_core::breaker::BreakerMode;
use mainstay_core::upstream::Balance;

use super::{LintCode, Linter, Subject};
use crate::settings::{Route, Upstream};
use crate::text::show_length;

impl Linter<'_> {
    /// Nothing goes there.
    pub(super) fn unused(&mut self, upstream: &Upstream) {
        self.add(
            LintCode::UpstreamUnused,
            &Subject::upstream(upstream),
            &[""],
            "no route leads to this upstream",
            "add a route, or take it out",
        );
    }

    pub(super) fn upstream(&mut self, upstream: &Upstream, routes: &[(usize, &Route)]) {
        let subject = Subject::upstream(upstream);
        if upstream.endpoints.len() == 1 {
            let message = "there is one endpoint: when it is down there is nowhere to go";
            let advice = "add another endpoint, in a tier of its own if it is a spare";
            self.add(LintCode::NoFailover, &subject, &["endpoints"], message, advice);
        }
        self.monitoring(upstream, &subject);
        self.detection(upstream, &subject);
        self.budget(upstream, &subject);
        self.hashing(upstream, routes, &subject);
        self.limits(upstream, routes, &subject);
        self.connections(upstream, &subject);
    }

    fn monitoring(&mut self, upstream: &Upstream, subject: &Subject) {
        match (&upstream.policy.health, &upstream.probe) {
            (Some(rhythm), Some(probe)) if probe.timeout > rhythm.interval => {
                let message = format!(
                    "a check may take {}, and the next is due after {}",
                    show_length(probe.timeout),
                    show_length(rhythm.interval)
                );
                let keys = ["health.timeout", "health.interval"];
                self.add(
                    LintCode::CheckOverlaps,
                    subject,
                    &keys,
                    message,
                    "let a check take less than the interval",
                );
            }
            (Some(_), Some(_)) => {}
            _ => {
                let message = "there are no active checks: a dead endpoint is found by calls alone";
                self.add(
                    LintCode::NoMonitoring,
                    subject,
                    &["health"],
                    message,
                    "leave `health` out: a handshake each 5s costs little",
                );
            }
        }
    }

    fn detection(&mut self, upstream: &Upstream, subject: &Subject) {
        let breaker = &upstream.policy.breaker;
        if breaker.mode == BreakerMode::Off {
            let message = "the breaker only watches: what is down goes on being called";
            self.add(
                LintCode::NoDetection,
                subject,
                &["breaker.mode"],
                message,
                "say mode = \"stop-all\" or \"stop-retries\"",
            );
        } else if breaker.consecutive_failures == 0
            && breaker.failure_ratio.is_none()
            && breaker.slow_ratio.is_none()
        {
            let message = "all triggers of the breaker are off: it opens by hand only";
            let keys = ["breaker.failure_ratio", "breaker.consecutive_failures"];
            self.add(LintCode::NoDetection, subject, &keys, message, "leave one of them on");
        }
    }

    fn budget(&mut self, upstream: &Upstream, subject: &Subject) {
        let budget = &upstream.policy.budget;
        let advice = "a fifth masks nearly everything that can be masked";
        if budget.ceiling > Ratio::percent(50) {
            let message = format!(
                "extra attempts may add {} to the load of an upstream that is in trouble",
                budget.ceiling
            );
            self.add(LintCode::BudgetTooLarge, subject, &["budget.ceiling"], message, advice);
        }
        if budget.floor > LARGE_FLOOR {
            let message = format!(
                "{} extra attempts in each window are allowed whatever the ceiling says",
                budget.floor
            );
            self.add(
                LintCode::BudgetTooLarge,
                subject,
                &["budget.floor"],
                message,
                "the ceiling is there to bound a busy upstream",
            );
        }
        if budget.initial > budget.capacity / 2 && budget.initial > 70 {
            let message = "the bucket starts more than half full: many short-lived processes together retry without bound";
            self.add(
                LintCode::BudgetTooLarge,
                subject,
                &["budget.initial", "budget.capacity"],
                message,
                "start with a few retries' worth: 70",
            );
        }
    }

    fn hashing(&mut self, upstream: &Upstream, routes: &[(usize, &Route)], subject: &Subject) {
        let hashes = upstream.policy.balance == Balance::ConsistentHash;
        let without = routes.iter().any(|(_, route)| route.hash_header.is_none());
        if hashes && without {
            let message = "balance is by hash, and not each route has a `hash_header`: where there is none, chance decides";
            self.add(
                LintCode::HashUnused,
                subject,
                &["balance"],
                message,
                "say which field to go by: hash_header = \"...\"",
            );
        } else if !hashes && routes.iter().any(|(_, route)| route.hash_header.is_some()) {
            let message = "`hash_header` has no effect: balance isn't by hash";
            self.add(
                LintCode::HashUnused,
                subject,
                &["hash_header", "balance"],
                message,
                "say balance = \"consistent-hash\"",
            );
        }
    }

    fn connections(&mut self, upstream: &Upstream, subject: &Subject) {
        let connect = &upstream.connect;
        if connect.pool.idle_timeout >= USUAL_IDLE && connect.pool.max_idle > 0 {
            let message = "idle connections are kept for 60s or more, when many servers and balancers close them: calls meet closed ones";
            self.add(
                LintCode::PoolIdleTooLong,
                subject,
                &["pool.idle_timeout"],
                message,
                "stay below what the upstream does; the default of 50s mostly is",
            );
        }
        if connect.tls.danger_accept_any_certificate {
            let message = "any certificate is accepted: whoever is on the path can read and change everything";
            let advice = "trust the upstream's own authority: ca = \"FILE\"";
            self.add(
                LintCode::Danger,
                subject,
                &["tls.danger_accept_any_certificate"],
                message,
                advice,
            );
        }
    }
}

/// Ten times the default; at 100 calls a second it is 5 % in a window of 10 s, at 10 a second half of all.
const LARGE_FLOOR: u32 = 50;

/// The idle time of many servers and load balancers.
const USUAL_IDLE: Duration = Duration::from_secs(60);
