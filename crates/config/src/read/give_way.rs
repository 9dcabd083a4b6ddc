//! A value that nobody wrote gives way to one that somebody did, so that one line is enough to change one thing.
//!
//! With `total_timeout = "5s"` alone, the default `attempt_timeout` of 10s would break a rule; it becomes 5s. What gives way is
//! a default or a value of a profile, never what is written: two of those that can't both hold are an error.

use super::Reader;
use super::places::join;
use crate::draft::{CallDraft, UpstreamDraft};
use crate::settings::ConnectSettings;

impl Reader<'_> {
    /// For what is said about calls; `prefixes` are where it may have been written.
    pub(super) fn give_way_call(&self, call: &mut CallDraft, prefixes: &[&str]) {
        let written = |path: &str| self.places.first(prefixes, &[path]).is_some();
        if !written("attempt_timeout") {
            call.attempt_timeout = call.attempt_timeout.min(call.total_timeout);
        }
        if let Some(adaptive) = &mut call.adaptive_timeout
            && !written("adaptive_timeout.floor")
        {
            adaptive.floor = adaptive.floor.min(call.attempt_timeout);
        }
        let backoff = &mut call.retry.backoff;
        if !written("retry.backoff.base") {
            backoff.base = backoff.base.min(backoff.cap);
        }
        if !written("retry.backoff.cap") {
            backoff.cap = backoff.cap.max(backoff.base);
        }
    }

    /// For an upstream.
    pub(super) fn give_way_upstream(&self, upstream: &mut UpstreamDraft, prefix: &str) {
        let written = |path: &str| self.places.get(&join(prefix, path)).is_some();
        let breaker = &mut upstream.policy.breaker;
        if !written("breaker.open_for") {
            breaker.open_for = breaker.open_for.min(breaker.open_cap);
        }
        if !written("breaker.open_cap") {
            breaker.open_cap = breaker.open_cap.max(breaker.open_for);
        }
        if let Some(ejection) = &mut upstream.policy.ejection {
            if !written("ejection.eject_for") {
                ejection.eject_for = ejection.eject_for.min(ejection.eject_cap);
            }
            if !written("ejection.eject_cap") {
                ejection.eject_cap = ejection.eject_cap.max(ejection.eject_for);
            }
        }
        if let Some(health) = &mut upstream.health
            && !written("health.interval_down")
        {
            health.rhythm.interval_down = health.rhythm.interval_down.min(health.rhythm.interval);
        }
        self.give_way_connect(&mut upstream.connect, prefix);
        let budget = &mut upstream.policy.budget;
        for (path, tokens) in [
            ("budget.initial", &mut budget.initial),
            ("budget.cost", &mut budget.cost),
            ("budget.throttled_cost", &mut budget.throttled_cost),
        ] {
            if !written(path) {
                *tokens = (*tokens).min(budget.capacity);
            }
        }
    }

    /// The clock of each step of a connect runs inside that of the whole.
    fn give_way_connect(&self, connect: &mut ConnectSettings, prefix: &str) {
        let written = |path: &str| self.places.get(&join(prefix, path)).is_some();
        let steps = [
            ("connect.resolve_timeout", &mut connect.resolve_timeout),
            ("connect.tcp_timeout", &mut connect.tcp_timeout),
            ("connect.tls_timeout", &mut connect.tls_timeout),
        ];
        let whole_is_written = written("connect.timeout");
        for (path, step) in steps {
            if !written(path) {
                *step = (*step).min(connect.connect_timeout);
            } else if !whole_is_written {
                connect.connect_timeout = connect.connect_timeout.max(*step);
            }
        }
        let dns = &mut connect.dns;
        if !written("connect.dns.min_ttl") {
            dns.min_ttl = dns.min_ttl.min(dns.max_ttl);
        }
        if !written("connect.dns.max_ttl") {
            dns.max_ttl = dns.max_ttl.max(dns.min_ttl);
        }
    }
}
