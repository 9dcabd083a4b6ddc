//! Everything there is to show now.

use std::sync::Arc;
use std::time::Duration;

use mainstay::connect::Addresses;
use mainstay::pool::Target;
use mainstay::{Clock, Service};
use mainstay_core::breaker::{BreakerState, Forced};
use mainstay_core::upstream::{EndpointView, LoadView};
use mainstay_core::{EndpointId, Timestamp};
use mainstay_outbox::Totals;
use mainstay_record::UpstreamSnapshot;
use serde_json::{Value, json};

use super::stored;
use crate::proxy::Control;
use crate::shared::Shared;

/// The document of `/status`. Fields may be added; what is there keeps its meaning while `version` is 1.
pub(super) fn status(control: &Control, totals: Option<&[Totals]>) -> Value {
    let (shared, current) = (&control.shared, control.shared.current());
    let now = Clock::now();
    let (traces, metrics) = control.export_status();
    json!({
        "version": 1,
        "mainstay": env!("CARGO_PKG_VERSION"),
        "uptime_s": shared.started.elapsed().as_secs(),
        "generation": current.number,
        "draining": !control.is_ready(),
        "calls_in_progress": control.calls(),
        "connections": {
            "open": shared.connections(),
            "parked": control.parked(),
            "limit": current.settings.limits.connections,
            "accepted": shared.accepted(),
            "turned_away": shared.turned_away(),
        },
        "upstreams": current.services.iter().map(|service| upstream(service, now)).collect::<Vec<_>>(),
        "outbox": stored::status(control, totals),
        "records": records(&shared.recorder),
        "access_log": super::log::access(&shared.recorder),
        "traces": traces,
        "metrics": metrics,
        "counts": shared.recorder.counts(),
        "census": shared.recorder.census(),
    })
}

/// How the file of records fares; nothing where there is none.
fn records(recorder: &mainstay_record::Recorder) -> Value {
    let status = recorder.records_status();
    status.map_or(Value::Null, |status| {
        json!({
            "file": status.path.display().to_string(),
            "written": status.written,
            "dropped": status.dropped,
            "error": status.error,
        })
    })
}

/// The same for metrics.
pub(super) fn snapshots(shared: &Shared, totals: Option<&[Totals]>) -> Vec<UpstreamSnapshot> {
    let at = Clock::now();
    let current = shared.current();
    let snapshot = |service: &Arc<Service>| UpstreamSnapshot {
        stored: stored::snapshots(shared, totals, service.name()),
        ..service.snapshot(at, current.client.ring_counts(service.name()))
    };
    current.services.iter().map(snapshot).collect()
}

/// Upstreams of which no endpoint would be asked now.
pub(super) fn unusable(control: &Control) -> Vec<String> {
    let now = Clock::now();
    let usable = |view: &EndpointView| {
        let open = matches!(view.breaker, BreakerState::Open { until } if until > now);
        let ejected = view.ejected_until.is_some_and(|until| until > now);
        view.healthy && !ejected && !open && !view.drained
    };
    let current = control.shared.current();
    let without =
        current.services.iter().filter(|service| !service.upstream().view(now).iter().any(usable));
    without.map(|service| service.name().to_string()).collect()
}

fn views(service: &Service, now: Timestamp) -> impl Iterator<Item = (EndpointView, &Arc<Target>)> {
    service.upstream().view(now).into_iter().zip(service.targets())
}

fn load(view: &LoadView, now: Timestamp) -> Value {
    let left = view.paused_until.filter(|until| *until > now);
    json!({
        "limit": view.limit.map(|limit| json!({
            "current": limit.current,
            "min": limit.min,
            "max": limit.max,
            "in_flight": view.in_flight,
        })),
        "waiting": view.waiting,
        "paused_for_ms": left.map(|until| millis(until.since(now))),
        "rate_available": view.rate_available,
        "throttle": view.throttle.map(|throttle| json!({
            "requests": throttle.requests,
            "accepts": throttle.accepts,
            "refused_percent": f64::from(throttle.refused.parts()) / 100.0,
        })),
    })
}

fn upstream(service: &Service, now: Timestamp) -> Value {
    let budget = service.upstream().budget().level(now);
    json!({
        "name": &**service.name(),
        "budget": {
            "tokens": budget.tokens,
            "capacity": budget.capacity,
            "calls": budget.calls,
            "extra": budget.extra,
        },
        "load": load(&service.upstream().load(now), now),
        "endpoints": (0..).zip(views(service, now)).map(|(place, (view, target))| {
            let place = EndpointId(place);
            let took = service
                .percentiles(place)
                .map(|(percentile, took)| (percentile.code().to_owned(), json!(millis(took))))
                .collect();
            endpoint(&view, target, last_check(service, place, &view, now), took, now)
        }).collect::<Vec<_>>(),
    })
}

fn last_check(
    service: &Service,
    endpoint: EndpointId,
    view: &EndpointView,
    now: Timestamp,
) -> Value {
    let Some(check) = view.last_check else { return Value::Null };
    json!({
        "ago_ms": millis(now.since(check.at)),
        "passed": check.broke.is_none(),
        "code": check.broke.map(mainstay_core::BreakKind::code),
        "details": check.broke.and_then(|kind| service.check_details(endpoint, kind)).as_deref(),
    })
}

fn endpoint(
    view: &EndpointView,
    target: &Target,
    last_check: Value,
    percentiles: serde_json::Map<String, Value>,
    now: Timestamp,
) -> Value {
    let connections = target.counts();
    let left = |until: Option<Timestamp>| {
        until.filter(|until| *until > now).map(|until| millis(until.since(now)))
    };
    let routes = view.route_breakers.iter();
    json!({
        "name": view.name,
        "tier": view.tier,
        "weight": view.weight,
        "healthy": view.healthy,
        "last_check": last_check,
        "ejected_for_ms": left(view.ejected_until),
        "throttled_for_ms": left(view.throttled_until),
        "breaker": breaker(view.breaker, now),
        "ordered": match view.forced {
            _ if view.drained => "drain",
            Forced::No => "auto",
            Forced::Open => "open",
            Forced::Closed => "closed",
        },
        "route_breakers": routes.map(|(route, state)| (route.clone(), breaker(*state, now))).collect::<serde_json::Map<_, _>>(),
        "window": {
            "calls": view.counts.calls,
            "failures": view.counts.failures,
            "slow": view.counts.slow,
        },
        "latency_ms": millis(view.latency),
        "percentiles_ms": percentiles,
        "in_flight": view.in_flight,
        "warm_percent": f64::from(view.warm.parts()) / 100.0,
        "addresses": target.addresses(now).as_ref().map(addresses),
        "certificate_ends_at_unix_s": target.certificate_ends_at(),
        "connections": {
            "idle": connections.idle,
            "in_use": connections.in_use,
            "opened": connections.opened,
            "reused": connections.reused,
            "closed_stale": connections.closed_stale,
            "stale_met": connections.stale_met,
            "stale_avoided": connections.stale_avoided,
            "idle_limit_ms": connections.idle_limit.map(millis),
        },
    })
}

/// What is known of a name's addresses.
fn addresses(known: &Addresses) -> Value {
    json!({
        "list": known.list.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "age_ms": known.age.map(millis),
        "stale": known.stale,
        "failure": known.failure.map(|(kind, ago)| json!({ "code": kind.code(), "ago_ms": millis(ago) })),
    })
}

fn breaker(state: BreakerState, now: Timestamp) -> Value {
    match state {
        BreakerState::Closed => json!({ "state": "closed" }),
        BreakerState::Open { until: Timestamp::MAX } => json!({ "state": "open", "for_ms": null }),
        BreakerState::Open { until } => {
            json!({ "state": "open", "for_ms": millis(until.since(now)) })
        }
        BreakerState::HalfOpen { probing, succeeded } => {
            json!({ "state": "half-open", "probing": probing, "succeeded": succeeded })
        }
    }
}

/// To the microsecond.
pub(super) fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 1e6).round() / 1e3
}
