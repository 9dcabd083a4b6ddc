//! What is odd about a route.

use std::time::Duration;

use mainstay_core::CallPolicy;
use mainstay_core::breaks::StatusSet;
use mainstay_core::retry::Jitter;

use super::{LintCode, Linter, Subject};
use crate::settings::{Route, Upstream};
use crate::text::show_length;

impl Linter<'_> {
    pub(super) fn call(&mut self, index: usize, route: &Route, upstream: &Upstream) {
        let subject = Subject::route(index, route, upstream);
        self.retries(route, &subject);
        self.times(&route.policy, &subject);
        self.against_upstream(&route.policy, upstream, &subject);
        self.writes(route, &subject);
        self.hedging(route, upstream, &subject);
        self.adaptive_timeout(route, &subject);
        self.rate_key(route, upstream, &subject);
        if route.policy.failures == StatusSet::NONE {
            let message = "no status counts as a failure: an endpoint that answers 503 to everything looks healthy";
            self.add(
                LintCode::NoDetection,
                &subject,
                &["failures"],
                message,
                "leave `failures` out, or name the statuses",
            );
        }
    }

    fn retries(&mut self, route: &Route, subject: &Subject) {
        let retry = &route.policy.retry;
        if retry.max_attempts.count() == 1 {
            let message = "calls are tried once: each break reaches the application";
            self.add(
                LintCode::NoRetry,
                subject,
                &["retry.max_attempts"],
                message,
                "say max_attempts = 2 or more",
            );
            return;
        }
        if route.replay_bytes == 0 {
            let message = "no request body is kept, so that requests with one can't be tried again";
            self.add(
                LintCode::NoReplay,
                subject,
                &["replay"],
                message,
                "say replay = \"64KiB\" or more",
            );
        }
        if retry.backoff.jitter == Jitter::None {
            let message = "without jitter all clients come back at the same moment";
            self.add(
                LintCode::NoJitter,
                subject,
                &["retry.backoff.jitter"],
                message,
                "leave `jitter` out",
            );
        }
        if retry.backoff.base >= route.policy.total_timeout {
            let message = "the first wait takes the whole time of the call: there is no retry";
            let keys = ["retry.backoff.base", "total_timeout"];
            self.add(
                LintCode::BackoffTooLong,
                subject,
                &keys,
                message,
                "wait less, or give the call more time",
            );
        }
    }

    fn times(&mut self, policy: &CallPolicy, subject: &Subject) {
        let attempts = u32::from(policy.retry.max_attempts.count());
        let all = policy.attempt_timeout.saturating_mul(attempts);
        if attempts > 1 && all > policy.total_timeout {
            let message = format!(
                "{attempts} attempts of {} don't fit the total of {}: when endpoints hang, the last ones aren't made",
                show_length(policy.attempt_timeout),
                show_length(policy.total_timeout),
            );
            let fits = policy.total_timeout.as_millis() / u128::from(attempts);
            let fits = show_length(Duration::from_millis(u64::try_from(fits).unwrap_or(u64::MAX)));
            let keys = ["attempt_timeout", "total_timeout", "retry.max_attempts"];
            self.add(
                LintCode::AttemptsExceedTotal,
                subject,
                &keys,
                message,
                format!("an attempt_timeout of {fits} would fit"),
            );
        }
    }

    fn against_upstream(&mut self, policy: &CallPolicy, upstream: &Upstream, subject: &Subject) {
        let attempt = policy.attempt_timeout;
        let shown = show_length(attempt);
        let breaker = &upstream.policy.breaker;
        // With the trigger of failures in a row a hang is noticed whatever the window; without it the window has to hold
        // the outcome of an attempt that began in it.
        let least =
            if breaker.consecutive_failures > 0 { attempt } else { attempt.saturating_mul(2) };
        if breaker.window < least && breaker.failure_ratio.is_some() {
            let message = format!(
                "the breaker's window of {} forgets attempts of {shown} before it can judge",
                show_length(breaker.window)
            );
            let keys = ["breaker.window", "attempt_timeout"];
            self.add(
                LintCode::WindowTooShort,
                subject,
                &keys,
                message,
                format!("say window = \"{}\" or more", show_length(least)),
            );
        }
        if breaker.half_open_for < attempt {
            let message =
                format!("a half-open breaker writes its probes off before their {shown} are over");
            let keys = ["breaker.half_open_for", "attempt_timeout"];
            self.add(
                LintCode::HalfOpenTooShort,
                subject,
                &keys,
                message,
                format!("say half_open_for = \"{shown}\" or more"),
            );
        }
        if upstream.connect.connect_timeout > attempt {
            let message = format!(
                "connecting may take longer than an attempt's {shown}: a dead address can't be told from a slow answer"
            );
            let keys = ["connect.timeout", "attempt_timeout"];
            self.add(
                LintCode::ConnectExceedsAttempt,
                subject,
                &keys,
                message,
                "let connecting take half of it at most",
            );
        }
    }

    fn writes(&mut self, route: &Route, subject: &Subject) {
        let writes = |method: &String| matches!(method.as_str(), "POST" | "PATCH");
        let methods = &route.matcher.methods;
        if route.policy.idempotent && (methods.is_empty() || methods.iter().any(writes)) {
            let message =
                "writes are declared idempotent: one whose outcome is unknown is sent again";
            let advice = "right if the upstream recognises repetitions; else send an Idempotency-Key, or narrow `methods`";
            self.add(LintCode::WriteDeclaredIdempotent, subject, &["idempotent"], message, advice);
        }
    }
}
