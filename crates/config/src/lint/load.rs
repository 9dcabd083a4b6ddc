//! What is odd about load control: extra attempts that can't be made, and limits that don't limit.

use mainstay_core::line::LineSettings;

use super::{LintCode, Linter, Subject};
use crate::settings::{Limits, Route, STALE_ARRIVING_SHARE, Upstream};
use crate::text::{show_length, show_size};

impl Linter<'_> {
    pub(super) fn hedging(&mut self, route: &Route, upstream: &Upstream, subject: &Subject) {
        if route.policy.hedge.is_none() {
            return;
        }
        let keys = ["hedge"];
        if route.policy.retry.max_attempts.count() == 1 {
            let message = "`hedge` has no effect: calls may have one attempt only, and a hedge is a second one";
            let advice = "say max_attempts = 2 or more, or take `hedge` out";
            let keys = ["retry.max_attempts", "hedge"];
            self.add(LintCode::HedgeUnused, subject, &keys, message, advice);
        }
        if upstream.endpoints.len() == 1 {
            let message =
                "`hedge` has no effect: there is one endpoint, and a hedge goes to another one";
            let advice = "add another endpoint, or take `hedge` out";
            self.add(LintCode::HedgeUnused, subject, &keys, message, advice);
        }
        let writes = |method: &String| matches!(method.as_str(), "POST" | "PATCH");
        let methods = &route.matcher.methods;
        if !methods.is_empty()
            && methods.iter().all(writes)
            && !route.policy.idempotent
            && route.idempotency_headers.is_empty()
        {
            let message = "`hedge` has no effect: only requests that may be done twice are hedged, and none of the route's is";
            let advice =
                "say by which field such requests are known: idempotency_headers = [\"...\"]";
            self.add(LintCode::HedgeUnused, subject, &keys, message, advice);
        }
    }

    pub(super) fn adaptive_timeout(&mut self, route: &Route, subject: &Subject) {
        let policy = &route.policy;
        if let Some(adaptive) = &policy.adaptive_timeout
            && adaptive.floor >= policy.attempt_timeout
        {
            let message = format!(
                "`adaptive_timeout` has no effect: its floor is its cap, attempt_timeout, {}",
                show_length(policy.attempt_timeout)
            );
            let keys = ["adaptive_timeout.floor", "adaptive_timeout", "attempt_timeout"];
            let advice = "leave it room: a lower floor, or a longer attempt_timeout";
            self.add(LintCode::AdaptiveUnused, subject, &keys, message, advice);
        }
    }

    pub(super) fn limits(
        &mut self,
        upstream: &Upstream,
        routes: &[(usize, &Route)],
        subject: &Subject,
    ) {
        let load = &upstream.policy.load;
        if load.limit.is_none()
            && load.endpoint_limit.is_none()
            && load.line != LineSettings::default()
        {
            let message = "`line` has no effect: nobody waits where there is no limit";
            let advice = "say how many attempts may be under way: limit or endpoint_limit";
            self.add(LintCode::LineUnused, subject, &["line"], message, advice);
        }
        let names_key = routes.iter().any(|(_, route)| route.fields.lane.is_some());
        if load.keyed_rate.is_some() && !names_key {
            let message =
                "`key_rate` has no effect: no route says by which field requests are told apart";
            let advice = "say which: rate_key_header = \"...\"";
            self.add(LintCode::RateKeyUnused, subject, &["key_rate"], message, advice);
        }
    }

    /// A rate limit by key is kept for the pauses alone where there is no `key_rate`; then the limit of all is the odd one.
    pub(super) fn rate_key(&mut self, route: &Route, upstream: &Upstream, subject: &Subject) {
        let load = &upstream.policy.load;
        if route.fields.lane.is_some() && load.keyed_rate.is_none() && load.rate.is_some() {
            let message = "the upstream's limits are kept by key, as `rate_key_header` says, and `rate` is one for all keys together";
            let advice = "say key_rate in place of rate, or have both";
            let keys = ["rate_key_header"];
            self.add(LintCode::RateKeyUnused, subject, &keys, message, advice);
        }
    }

    /// Bodies that arrive have a quarter of the store to themselves, and one that doesn't fit there is never kept.
    pub(super) fn stale(
        &mut self,
        index: usize,
        route: &Route,
        upstream: &Upstream,
        limits: &Limits,
    ) {
        let Some(stale) = &route.stale else { return };
        let room = limits.stale_bytes_total / STALE_ARRIVING_SHARE;
        if stale.answer_bytes > room {
            let message = format!(
                "an answer of `stale.answer_size` is never kept: {} is more than a quarter of limits.stale_total, {}",
                show_size(stale.answer_bytes as u64),
                show_size(room as u64)
            );
            let advice = "say a smaller stale.answer_size, or a larger limits.stale_total";
            let keys = ["stale.answer_size", "stale"];
            let subject = Subject::route(index, route, upstream);
            self.add(LintCode::StaleTooLarge, &subject, &keys, message, advice);
        }
    }
}
