//! What is odd about writes that are stored.

use super::{LintCode, Linter, Subject};
use crate::settings::{Outbox, Route, Settings, Upstream};

impl Linter<'_> {
    pub(super) fn outbox(&mut self, index: usize, route: &Route, upstream: &Upstream) {
        if route.outbox.is_none() {
            return;
        }
        let methods = &route.matcher.methods;
        let reads = ["GET", "HEAD", "OPTIONS", "TRACE"];
        if !methods.is_empty() && methods.iter().all(|method| reads.contains(&method.as_str())) {
            let subject = Subject::route(index, route, upstream);
            let message = "`outbox` has no effect: the route's methods only read";
            let advice = "take it out, or let the route have the methods that write";
            self.add(LintCode::OutboxUnused, &subject, &["outbox"], message, advice);
        }
    }

    pub(super) fn store(&mut self, settings: &Settings) {
        let is_used = settings.routes.iter().any(|route| route.outbox.is_some());
        let store = &settings.outbox;
        if !is_used && *store != Outbox::default() {
            let message = "`[outbox]` has no effect: no route has `outbox`";
            let advice = "say `outbox` where writes have to arrive, or take it out";
            self.add(LintCode::OutboxUnused, &Subject::file(), &["outbox"], message, advice);
        }
        if is_used && store.keys.is_empty() {
            let message = "what the outbox stores isn't encrypted: whoever has it reads requests, tokens in them included";
            let advice =
                "make a key with `openssl rand -base64 32`, and say outbox.keys = [\"FILE\"]";
            let keys = ["outbox.keys", "outbox"];
            self.add(LintCode::OutboxInClear, &Subject::file(), &keys, message, advice);
        }
    }
}
