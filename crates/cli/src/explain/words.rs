//! Sentences for the codes in a record.

use mainstay_core::breaks::safety::Verdict;
use mainstay_record::{AttemptRecord, CallRecord, ConnectionRecord, HoldRecord};

/// The page of the manual that says what each code means and what to look at: its sentences are shown, not copies.
const BREAKS: &str = include_str!("../../../../docs/breaks.md");

/// How the call ended, and whether the application got what it wanted.
pub(super) fn outcome(record: &CallRecord) -> (bool, String) {
    let status = record.status.map_or_else(String::new, |status| format!(" {status}"));
    if let Some(by) = record.degraded.as_deref() {
        let code = record.code.as_deref().unwrap_or("an error");
        return (false, format!("failed {code}; {} stood in,{status}", stand_in(by)));
    }
    match &*record.outcome {
        "delivered" if record.healed.is_some() => (true, format!("delivered{status} (healed)")),
        "delivered" if record.body_broke.is_some() => (false, format!("delivered{status}, cut")),
        "delivered" => match record.saved.as_deref() {
            Some(saved) => (true, format!("delivered{status} (saved by {saved})")),
            None => (true, format!("delivered{status}")),
        },
        "as_is" => (false, format!("delivered{status} as it is")),
        "failed" => (false, format!("failed {}", record.code.as_deref().unwrap_or("?"))),
        other => (false, other.to_owned()),
    }
}

pub(super) fn times(count: u16) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What the application got, as a sentence.
pub(super) fn end(record: &CallRecord) -> String {
    let status = record.status.unwrap_or_default();
    let answered = record.attempts.iter().rev().find(|attempt| attempt.status.is_some());
    let from = answered.map_or_else(String::new, |attempt| format!(" of {}", attempt.endpoint));
    if let Some(by) = record.degraded.as_deref() {
        let what = match &*record.outcome {
            "as_is" => format!("the last broken answer{from}, since nothing better came"),
            _ => format!(
                "an answer: the call failed with {} ({})",
                record.code.as_deref().unwrap_or("?"),
                record.certainty.as_deref().map_or("", certainty)
            ),
        };
        return format!("{} ({status}), marked as such, in place of {what}", stand_in(by));
    }
    match &*record.outcome {
        "delivered" => match &record.body_broke {
            Some(code) if record.healed.is_some() => format!(
                "the answer{from} ({status}), whole: its body broke {} ({code}) and was continued from where it broke",
                times(record.healed.unwrap_or_default())
            ),
            Some(code) if code == "client-gone" => format!(
                "the answer{from} ({status}), whose body the application didn't read to its end"
            ),
            Some(code) => format!(
                "the head of the answer{from} ({status}); the body broke ({code}), and the connection was cut so \
                 that it can't be taken for complete"
            ),
            None => format!("the answer{from} ({status})"),
        },
        "as_is" => {
            format!("the last broken answer{from} ({status}) as it is, since nothing better came")
        }
        "failed" => format!(
            "no answer of the upstream: a problem document with the code {} ({})",
            record.code.as_deref().unwrap_or("?"),
            record.certainty.as_deref().map_or("", certainty)
        ),
        _ => "unknown: the call isn't over".to_owned(),
    }
}

/// What stood in for an answer.
fn stand_in(by: &str) -> &str {
    match by {
        "stale" => "an answer that was good before",
        "static" => "the route's fallback",
        other => other,
    }
}

/// How far the request got, as a clause.
pub(crate) fn certainty(code: &str) -> &str {
    match code {
        "not-sent" => "not sent: nothing was done",
        "refused" => "refused: the peer says that it did nothing",
        "maybe-processed" => "maybe processed: it was sent, and nobody knows whether it was done",
        "processed" => "processed: it was carried out",
        other => other,
    }
}

/// What was decided after an attempt broke, and why. `next` is the attempt that came of it.
pub(super) fn decision(attempt: &AttemptRecord, next: Option<&AttemptRecord>) -> Option<String> {
    let verdict = attempt.verdict.as_deref().and_then(Verdict::from_code);
    let wait = attempt.delay_ms.map(|delay| {
        let by = match attempt.delayed_by.as_deref() {
            Some("hint") => "as the peer asked",
            _ => "backoff",
        };
        format!(" after {} ({by})", milliseconds(delay))
    });
    let at_once = if attempt.verdict.as_deref() == Some("again-free") {
        " at once, free of charge"
    } else {
        " at once"
    };
    let when = wait.unwrap_or_else(|| at_once.to_owned());
    let (done, is_stop) = match attempt.decision.as_deref()? {
        // When all others were asked before, a retry may be at any of them.
        "retry" => match next {
            Some(next) if next.endpoint == attempt.endpoint => {
                (format!("again at the same endpoint{when}"), false)
            }
            Some(next) => (format!("again, at {}{when}", next.endpoint), false),
            None => (format!("again{when}"), false),
        },
        "failover" => (format!("on to another endpoint{when}"), false),
        stop => (format!("no further attempt: {}", stopped(stop)), true),
    };
    let Some(verdict) = verdict else { return Some(done) };
    // Some reasons to stop are the verdict itself.
    if attempt.decision == attempt.verdict {
        return Some(done);
    }
    // What allows another attempt isn't why there was none.
    let because = if is_stop && allows(verdict) { "But for that" } else { "Because" };
    Some(format!("{done}. {because}: {}", verdict.words()))
}

/// Whether there may be another attempt, as far as the request goes.
pub(super) const fn allows(verdict: Verdict) -> bool {
    match verdict {
        Verdict::AgainFree
        | Verdict::Again
        | Verdict::Retry
        | Verdict::RetryAfterHint
        | Verdict::Resume
        | Verdict::ContinueUpload => true,
        Verdict::OutcomeUnknown | Verdict::TurnedAway | Verdict::FailLoudly => false,
    }
}

/// How a wait for an open breaker went.
pub(super) fn awaited(hold: &HoldRecord) -> Option<String> {
    let waited = milliseconds(hold.for_ms?);
    Some(match hold.passed {
        Some(true) => format!("{waited} since every breaker was open, until one let it through"),
        Some(false) | None => format!("{waited} since every breaker was open, in vain"),
    })
}

/// Why nothing more was tried.
pub(crate) fn stopped(code: &str) -> &str {
    match code {
        "outcome-unknown" => {
            "it may have been carried out, and doing it twice isn't as good as once"
        }
        "not-declared-idempotent" => {
            "the peer turned it away, and the request isn't declared idempotent"
        }
        "body-unrepeatable" => "the request's body can't be sent again",
        "attempts-used" => "every attempt that the policy allows was made (`retry.max_attempts`)",
        "budget-empty" => "the budget for extra attempts is empty (`budget`)",
        "deadline-too-close" => "it would start after the call's deadline (`total_timeout`)",
        "deadline-passed" => "the call's deadline had passed (`total_timeout`)",
        "no-endpoint" => "no endpoint may be asked now",
        "reply-started" => "an answer was already on its way to the application",
        "breaker-open" => "the breaker of each endpoint that could be asked is open",
        other => other,
    }
}

/// What was decided of a call of which nothing was sent, and why.
pub(crate) fn unsent(code: &str) -> &str {
    match code {
        "breaker-open" => {
            "refused without an attempt: the breaker of each endpoint that could be asked was open, so that \
             nothing more was sent to servers that are down; the application was told when to come back"
        }
        "no-endpoint" => {
            "refused without an attempt: no endpoint might be asked; the application was told when to come back"
        }
        "limit-reached" => {
            "refused without an attempt: a limit was reached (pool.max_connections, load, or this host's own)"
        }
        "deadline-exceeded" => {
            "given up without an attempt: its time (total_timeout) had passed before an endpoint could be asked"
        }
        "client-gone" => {
            "given up without an attempt: the application went away before an endpoint was asked"
        }
        _ => "given up without an attempt: nothing was sent",
    }
}

/// Whether what a step says is in the attempt's own error already.
pub(super) fn is_said(step: &str, detail: Option<&str>) -> bool {
    detail.is_some_and(|detail| detail.contains(step))
}

/// The connection, in a line.
pub(super) fn connection(it: &ConnectionRecord) -> String {
    let peer = it.peer.map_or_else(|| "unknown address".to_owned(), |peer| peer.to_string());
    let tls = if it.secure { " over TLS" } else { "" };
    let history = if it.reused {
        let idle = it
            .idle_ms
            .map_or_else(String::new, |idle| format!(", idle for {}", milliseconds(idle)));
        let before = it.requests_before;
        let requests = if before == 1 { "request" } else { "requests" };
        format!("reused, {} old{idle}, {before} {requests} before", milliseconds(it.age_ms))
    } else {
        "fresh".to_owned()
    };
    format!("{peer}, connection {} ({}{tls}, {history})", it.id, it.protocol)
}

/// What the manual says of a code: what happened, and what to look at.
pub(super) fn manual(code: &str) -> Option<String> {
    let heading = format!("\n### {code}\n");
    let start = BREAKS.find(&heading)? + heading.len();
    let text = BREAKS[start..].split("\n#").next()?.split("\n\n").next()?;
    // The first sentence is for machines: standards and statuses.
    let text = text.split_once(". ").map_or(text, |(_, rest)| rest);
    let text = without_links(&text.replace(['`', '*'], ""));
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `[breaker](breaker.md)` as words: breaker (docs/breaker.md).
fn without_links(mut text: &str) -> String {
    let mut words = String::new();
    while let Some((before, name, to, rest)) = link(text) {
        words.push_str(&format!("{before}{name} (docs/{to})"));
        text = rest;
    }
    words + text
}

/// The first link: what stands before it, its words, where it leads, what comes after it.
fn link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (name, rest) = rest.split_once("](")?;
    let (to, rest) = rest.split_once(')')?;
    Some((before, name, to, rest))
}

/// A time, in milliseconds or larger.
pub(crate) fn milliseconds(millis: f64) -> String {
    match millis {
        // Nothing takes so long but what was written by something else; it has to fit all the same.
        _ if millis >= 1e9 => "> 11 days".to_owned(),
        _ if millis >= 100_000.0 => format!("{:.0} s", millis / 1e3),
        _ if millis >= 10_000.0 => format!("{:.1} s", millis / 1e3),
        _ if millis >= 100.0 => format!("{millis:.0} ms"),
        _ if millis >= 1.0 => format!("{millis:.1} ms"),
        _ => format!("{millis:.2} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::BreakKind;

    #[test]
    fn the_manual_has_something_to_say_about_each_code() {
        for kind in BreakKind::ALL {
            let text = manual(kind.code()).unwrap_or_default();
            assert!(text.len() > 20 && !text.contains("RFC 9209"), "{}: {text}", kind.code());
            assert!(!text.contains(['`', '[', ']']), "it is read as it stands: {text}");
        }
        assert!(
            manual("breaker-open").is_some_and(|it| it.ends_with("See breaker (docs/breaker.md)."))
        );
        assert_eq!(manual("no-such-code"), None);
    }

    #[test]
    fn what_was_decided_doesnt_deny_itself() {
        let broke = |endpoint: &str, decision: &'static str, verdict: &'static str| AttemptRecord {
            endpoint: endpoint.into(),
            decision: Some(decision.into()),
            verdict: Some(verdict.into()),
            ..AttemptRecord::default()
        };
        let said = |attempt: &AttemptRecord, next| decision(attempt, next).unwrap_or_default();
        let (a, b) = (broke("a", "retry", "again-free"), broke("b", "breaker-open", "again-free"));
        assert!(said(&a, Some(&b)).starts_with("again, at b at once"), "{}", said(&a, Some(&b)));
        assert!(said(&a, Some(&a)).starts_with("again at the same endpoint at once"));
        assert!(said(&b, None).contains("is open. But for that: nothing was sent"));
        let unknown = broke("a", "outcome-unknown", "outcome-unknown");
        assert!(!said(&unknown, None).contains("Because"), "it would be said twice");
        let turned = broke("a", "not-declared-idempotent", "turned-away");
        assert!(said(&turned, None).contains(". Because: the peer turned it away"));
    }

    #[test]
    fn times_have_few_digits() {
        let shown = [0.0, 0.123, 1.26, 99.0, 1002.4, 60_000.0, 3_600_000.0].map(milliseconds);
        assert_eq!(
            shown,
            ["0.00 ms", "0.12 ms", "1.3 ms", "99.0 ms", "1002 ms", "60.0 s", "3600 s"]
        );
    }
}
