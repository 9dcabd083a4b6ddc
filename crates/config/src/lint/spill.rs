//! What is odd about request bodies that go on in a file.

use super::{LintCode, Linter, Subject};
use crate::settings::{Limits, Route, Settings, Upstream};
use crate::text::show_size;

impl Linter<'_> {
    pub(super) fn spill(
        &mut self,
        index: usize,
        route: &Route,
        upstream: &Upstream,
        limits: &Limits,
    ) {
        let Some(spill) = &route.spill else { return };
        let subject = Subject::route(index, route, upstream);
        if let Some((message, advice)) = unused(limits, route) {
            let message = format!("`spill` has next to no effect: {message}");
            self.add(LintCode::SpillUnused, &subject, &["spill"], message, advice);
        }
        if spill.bytes > limits.spill_bytes_total {
            let message = format!(
                "a body may spill {}, and all together only {}: the largest never fit",
                show_size(spill.bytes),
                show_size(limits.spill_bytes_total)
            );
            let advice =
                "raise limits.spill_total to what several such bodies take, or say a smaller size";
            let keys = ["spill.size", "spill"];
            self.add(LintCode::SpillExceedsTotal, &subject, &keys, message, advice);
        }
    }

    pub(super) fn disk(&mut self, settings: &Settings) {
        let (limits, usual) = (&settings.limits, Limits::default());
        let is_written = limits.spill_bytes_total != usual.spill_bytes_total
            || limits.spill_dir != usual.spill_dir;
        if is_written && settings.routes.iter().all(|route| route.spill.is_none()) {
            let message = "`spill_total` and `spill_dir` have no effect: no route has `spill`";
            let keys = ["limits.spill_total", "limits.spill_dir"];
            let advice = "say `spill` where large requests go, or take them out";
            self.add(LintCode::SpillUnused, &Subject::file(), &keys, message, advice);
        }
    }
}

/// Why nothing is ever read back from a file, and what to do.
fn unused(limits: &Limits, route: &Route) -> Option<(&'static str, &'static str)> {
    let methods = &route.matcher.methods;
    let all = |among: &[&str]| {
        !methods.is_empty() && methods.iter().all(|method| among.contains(&method.as_str()))
    };
    let policy = &route.policy;
    if policy.retry.max_attempts.count() == 1 {
        return Some((
            "calls are tried once, so that no body is sent again",
            "say max_attempts = 2 or more, or take `spill` out",
        ));
    }
    if all(&["GET", "HEAD", "OPTIONS", "TRACE"]) {
        return Some(("requests of the route's methods have no body", "take it out"));
    }
    if all(&["POST", "PATCH"]) && !policy.idempotent && route.idempotency_headers.is_empty() {
        return Some((
            "only requests that may be done twice are sent again, and none of the route's is",
            "say by which field such requests are known: idempotency_headers = [\"...\"]",
        ));
    }
    if limits.body_bytes.is_some_and(|most| most <= route.replay_bytes as u64) {
        return Some((
            "`limits.body_size` lets no body in that `replay` hasn't room for",
            "raise `limits.body_size`, or take `spill` out",
        ));
    }
    None
}
