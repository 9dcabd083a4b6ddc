//! Sentences for what the engine, the routing and the config say.

use mainstay_config::settings::{Matcher, NameMatch, Route};
use mainstay_config::{Effective, Origin, path_text};
use mainstay_core::breaks::safety::Ground;
use mainstay_core::call::GaveUp;
use mainstay_core::event::StopReason;
use mainstay_core::{BreakKind, Certainty};
use mainstay_proxy::Condition;

use super::play::{Foreseen, Then};
use crate::explain::words::{milliseconds, stopped};

/// Why a request doesn't meet a condition. Values of the request's fields are never shown.
pub(super) fn failed(
    condition: Condition,
    matcher: &Matcher,
    method: &str,
    host: &str,
    path: &str,
) -> String {
    match condition {
        Condition::Host => format!("the host is {host}, not {}", matcher.hosts.join(" or ")),
        Condition::Path => {
            format!(
                "the path is {path}, not {}",
                matcher.path.as_ref().map_or_else(String::new, path_text)
            )
        }
        Condition::Method => {
            format!("the method is {method}, not {}", matcher.methods.join(" or "))
        }
        Condition::Query(place) => {
            format!("the query has no {}", named(&matcher.query, place, "="))
        }
        Condition::Header(place) => {
            format!("the head has no field {}", named(&matcher.headers, place, ": "))
        }
    }
}

fn named(list: &[NameMatch], place: usize, between: &str) -> String {
    let Some(NameMatch { name, value }) = list.get(place) else { return String::new() };
    value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}{between}{value}"))
}

/// What a request had to be for a route to take it.
pub(super) fn met(matcher: &Matcher) -> String {
    let mut met = Vec::new();
    if !matcher.hosts.is_empty() {
        met.push(format!("the host is {}", matcher.hosts.join(" or ")));
    }
    if let Some(path) = &matcher.path {
        met.push(format!("the path fits {}", path_text(path)));
    }
    if !matcher.methods.is_empty() {
        met.push(format!("the method is {}", matcher.methods.join(" or ")));
    }
    let query = (0..matcher.query.len())
        .map(|place| format!("the query has {}", named(&matcher.query, place, "=")));
    met.extend(query);
    let fields = (0..matcher.headers.len())
        .map(|place| format!("the head has the field {}", named(&matcher.headers, place, ": ")));
    met.extend(fields);
    if met.is_empty() { "it takes every request".to_owned() } else { met.join(", ") }
}

/// Why a request may, or must not, be done twice.
pub(super) fn ground(ground: Ground, method: &str, key: Option<&str>, route: &Route) -> String {
    match ground {
        Ground::Safe => format!("safe: {method} only reads"),
        Ground::Idempotent => format!("idempotent: {method} twice is as good as once"),
        Ground::Key => {
            format!("by key: {method} isn't idempotent, but {} is there", key.unwrap_or("a key"))
        }
        Ground::Declared => {
            format!("declared: {method} isn't idempotent, but the route says `idempotent = true`")
        }
        Ground::None => {
            let keys = route.idempotency_headers.join(" or ");
            let remedy = match keys.as_str() {
                "" => "`idempotent = true`".to_owned(),
                keys => format!("{keys} (`idempotency_headers`) or `idempotent = true`"),
            };
            format!("not: {method} isn't idempotent, and nothing says otherwise ({remedy} would)")
        }
    }
}

/// What would happen, in a sentence.
pub(super) fn then(foreseen: &Foreseen) -> String {
    match &foreseen.then {
        Then::Again { is_first, elsewhere, fresh, wait, tokens } => {
            if *is_first {
                return match wait {
                    None => "the first attempt is made all the same".to_owned(),
                    Some(_) => "the first attempt waits until the hint is over".to_owned(),
                };
            }
            let what = if wait.is_some() { "retry" } else { "again" };
            let place = if *elsewhere { " elsewhere" } else { "" };
            let when = match wait {
                None => " at once",
                Some((_, false)) => " after backoff",
                Some((_, true)) => " after the hint",
            };
            let connection = if *fresh { " over a fresh connection" } else { "" };
            let cost = if *tokens == 0 { "free" } else { "paid by the budget" };
            format!("{what}{place}{when}{connection}, {cost}")
        }
        Then::Answered(gave_up) => answered(foreseen.kind, gave_up),
        Then::AsIs { status, stop } => {
            format!("the upstream's own answer ({status}) is delivered{}", since(*stop))
        }
        Then::Cut => {
            "the answer had begun: it ends as visibly broken, never as if it were whole".to_owned()
        }
        Then::Dropped => "nobody is left to answer: the attempt is cancelled".to_owned(),
    }
}

fn answered(kind: BreakKind, gave_up: &GaveUp) -> String {
    let outcome = match gave_up.certainty {
        Certainty::NotSent => "not sent",
        Certainty::Refused => "not done",
        Certainty::MaybeProcessed => "outcome unknown",
        Certainty::Processed => "done",
    };
    let code = gave_up.kind.code();
    let code = if kind == gave_up.kind { String::new() } else { format!(" {code}") };
    let status = gave_up.kind.answer_status();
    let retry_after = gave_up.retry_after.map_or_else(String::new, |length| {
        format!(", come back after {}", milliseconds(length.as_secs_f64() * 1e3))
    });
    format!("answered {status}{code}, {outcome}{retry_after}{}", since(Some(gave_up.stop)))
}

/// Why nothing more is tried, where that isn't said by the rest.
fn since(stop: Option<StopReason>) -> String {
    match stop {
        None | Some(StopReason::OutcomeUnknown | StopReason::BreakerOpen) => String::new(),
        Some(stop) => format!(": {}", stopped(stop.code())),
    }
}

/// Where a value comes from, with its place.
pub(super) fn origin(value: &Effective) -> String {
    let place = value.place.as_ref().map(|place| match place.line {
        Some(line) => format!(", {}:{line}", place.name),
        None => format!(", {}", place.name),
    });
    let place = place.unwrap_or_default();
    match value.origin {
        Origin::Default => "default".to_owned(),
        Origin::Profile(profile) => format!("profile {}", profile.name()),
        Origin::Upstream => format!("upstream{place}"),
        Origin::Route => format!("route{place}"),
        Origin::GaveWay => "gave way to another".to_owned(),
    }
}
