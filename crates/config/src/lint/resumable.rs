//! What is odd about uploads that are to be continued.

use mainstay_core::heal::upload::Protocol;

use super::{LintCode, Linter, Subject};
use crate::settings::{Route, Upstream};
use crate::text::show_size;

impl Linter<'_> {
    pub(super) fn resumable(&mut self, index: usize, route: &Route, upstream: &Upstream) {
        let Some(upload) = &route.policy.resumable_upload else { return };
        let subject = Subject::route(index, route, upstream);
        let methods = &route.matcher.methods;
        let creates: &[&str] = match upload.protocol {
            Protocol::Ietf { .. } => &["PUT", "POST"],
            Protocol::Tus => &["POST"],
        };
        let keys = ["resumable_upload.protocol", "resumable_upload"];
        if !methods.is_empty() && !methods.iter().any(|method| creates.contains(&method.as_str())) {
            let message = format!(
                "`resumable_upload` has no effect: it is for {}, which the route doesn't take",
                creates.join(" and ")
            );
            let advice = "take it out, or say it where uploads go";
            return self.add(LintCode::ResumableUnused, &subject, &keys, message, advice);
        }
        if route.spill.is_none() && route.replay_bytes < SMALL_BYTES {
            let message = format!(
                "`resumable_upload` without `spill`: of bodies larger than {} nothing is left to go on with",
                show_size(route.replay_bytes as u64)
            );
            let advice = "say `spill`, so that large uploads are kept until they are through";
            self.add(LintCode::ResumableUnused, &subject, &keys, message, advice);
        }
    }
}

/// Less is sent again sooner than it is asked how much of it arrived.
const SMALL_BYTES: usize = 8 * 1024 * 1024;
