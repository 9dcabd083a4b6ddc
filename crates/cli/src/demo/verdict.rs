//! Whether what was recorded, what was answered and what was done agree.

use http::Method;
use mainstay_lab::load::{CallResult, Ended};
use mainstay_lab::{Oracle, Snapshot};
use mainstay_record::Counts;
use serde::Serialize;

/// One thing that must hold.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) holds: bool,
    pub(super) found: String,
}

/// All of them.
pub(super) fn checks(counts: &Counts, results: &[CallResult], oracle: &Oracle) -> Vec<Check> {
    let seen = oracle.snapshot();
    vec![
        records(counts, results),
        attempts(counts, &seen),
        duplicates(oracle),
        honest(
            results,
            oracle,
            "whatever was answered with success was carried out once",
            |result| result.ended.is_good().then_some(1),
        ),
        honest(results, oracle, "whatever was reported as not done wasn't done", |result| {
            let certain = matches!(result.problem.as_ref()?.1.as_str(), "not-sent" | "refused");
            certain.then_some(0)
        }),
        answered(results),
    ]
}

/// N calls give N records.
fn records(counts: &Counts, results: &[CallResult]) -> Check {
    let (made, calls) = (results.len() as u64, counts.calls);
    Check {
        what: "each call has one record",
        holds: calls.started == made
            && calls.delivered + calls.failed == made
            && calls.records == made,
        found: format!(
            "{made} calls; recorded {} started, {} delivered, {} failed, {} over",
            calls.started, calls.delivered, calls.failed, calls.records
        ),
    }
}

/// Attempts that may have reached a server are those that the servers received: all of them but those that broke before a request
/// was there, and of those none more.
fn attempts(counts: &Counts, seen: &Snapshot) -> Check {
    let received: u64 = seen.servers.values().map(|server| server.received).sum();
    let breaks = counts.breaks();
    let of = |codes: &[&str]| -> u64 { codes.iter().filter_map(|code| breaks.get(*code)).sum() };
    let never = of(&["connect-refused", "connect-timeout", "limit-reached"]);
    let perhaps = of(&["closed-while-idle", "write-failed", "reset-before-head"]);
    let most = counts.calls.attempts.saturating_sub(never);
    let least = most.saturating_sub(perhaps);
    Check {
        what: "the servers received the attempts that were recorded",
        holds: (least..=most).contains(&received),
        found: format!("received {received}, recorded {least} to {most}"),
    }
}

fn duplicates(oracle: &Oracle) -> Check {
    let twice = oracle.duplicates();
    Check {
        what: "no write was carried out twice",
        holds: twice.is_empty(),
        found: format!("{} carried out more than once", twice.len()),
    }
}

/// Writes whose answer says how often they were carried out were carried out as often.
fn honest(
    results: &[CallResult],
    oracle: &Oracle,
    what: &'static str,
    claim: impl Fn(&CallResult) -> Option<u64>,
) -> Check {
    let claims = results.iter().filter(|result| result.method == Method::POST);
    let claims: Vec<_> = claims.filter_map(|result| Some((result, claim(result)?))).collect();
    let wrong =
        claims.iter().filter(|(result, claimed)| oracle.executions(&result.id) != *claimed).count();
    Check {
        what,
        holds: wrong == 0,
        found: format!("{wrong} of {} such writes otherwise", claims.len()),
    }
}

/// The application always gets an answer, never a broken connection.
fn answered(results: &[CallResult]) -> Check {
    let without =
        results.iter().filter(|result| !matches!(result.ended, Ended::Answered { .. })).count();
    Check {
        what: "each call got a whole answer",
        holds: without == 0,
        found: format!("{without} of {} without", results.len()),
    }
}
