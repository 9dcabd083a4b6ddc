//! The state, as `/live` shows it: whole for one who comes, then what has changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay::Service;
use mainstay::pool::Target;
use mainstay_core::breaker::BreakerState;
use mainstay_core::upstream::{EndpointView, LoadView};
use mainstay_core::{EndpointId, Timestamp};
use mainstay_record::{CallPart, EndpointNow, EndpointState, UpstreamNow};
use serde_json::{Value, json};

use super::json::{Memory, Object};
use super::look::{Look, UpstreamLook};
use crate::proxy::Control;

/// What readers know.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Of which generation this is.
    generation: u64,
    top: Memory,
    upstreams: Vec<(Memory, Vec<Memory>)>,
    /// Whether anybody knows anything.
    begun: bool,
    /// By how much the wall clock is ahead of the process's, in milliseconds: kept while it hardly changes, so that a moment has
    /// the same number each time.
    ahead_ms: Option<u64>,
    /// What writing took the last time, so that the next one needs no more memory while it grows.
    bytes: usize,
}

/// Times as the wall clock has them.
#[derive(Clone, Copy)]
struct Wall(u64);

impl Wall {
    fn of(self, at: Timestamp) -> u64 {
        self.0 + at.as_millis()
    }

    /// Of a moment that is still to come; the end of time has none.
    fn ahead(self, until: Option<Timestamp>, now: Timestamp) -> Option<u64> {
        until.filter(|until| *until > now && *until < Timestamp::MAX).map(|until| self.of(until))
    }
}

impl Shown {
    /// Everything. The first reader's is what the next changes are told from.
    pub(super) fn whole(&mut self, control: &Control, look: &Look, outbox: &Value) -> Bytes {
        if !self.begun {
            return self.changed(control, look, outbox);
        }
        let wall = self.wall(look);
        let mut out = Vec::with_capacity(self.bytes);
        let writing = Writing { control, look, outbox, wall, ejected: causes(control, look) };
        writing.write(&mut out, None);
        out.into()
    }

    /// What has changed since the last time; everything after a reload, or when nobody knows anything.
    pub(super) fn changed(&mut self, control: &Control, look: &Look, outbox: &Value) -> Bytes {
        let is_new = !self.begun || self.generation != look.generation.number;
        if is_new {
            let upstreams = look.upstreams.iter().map(|upstream| {
                let endpoints = upstream.views.iter().map(|_| Memory::default());
                (Memory::default(), endpoints.collect())
            });
            (self.top, self.upstreams) = (Memory::default(), upstreams.collect());
            (self.begun, self.generation) = (true, look.generation.number);
        }
        let wall = self.wall(look);
        let mut out = Vec::with_capacity(self.bytes);
        let writing = Writing { control, look, outbox, wall, ejected: causes(control, look) };
        writing.write(&mut out, Some((is_new, &mut self.top, &mut self.upstreams)));
        self.bytes = out.len() + out.len() / 4;
        out.into()
    }

    /// Nobody watches any more.
    pub(super) fn forget(&mut self, look: &Look) {
        if self.begun {
            *self = Self::default();
            look.generation.services.iter().for_each(|service| service.recorder().rest());
        }
    }

    fn wall(&mut self, look: &Look) -> Wall {
        let ahead = look.unix_ms.saturating_sub(look.at.as_millis());
        let kept = self.ahead_ms.filter(|kept| kept.abs_diff(ahead) < DRIFT_MS);
        Wall(*self.ahead_ms.insert(kept.unwrap_or(ahead)))
    }
}

/// Why endpoints that are ejected are. The engine doesn't remember it, the list of changes does.
fn causes(control: &Control, look: &Look) -> HashMap<(Arc<str>, Arc<str>), String> {
    let is_ejected = |view: &EndpointView| view.ejected_until.is_some_and(|until| until > look.at);
    let mut causes = HashMap::new();
    if !look.upstreams.iter().any(|upstream| upstream.views.iter().any(is_ejected)) {
        return causes;
    }
    for change in control.shared.recorder.changes_after(0).0 {
        if let ("endpoint-ejected", Some(endpoint), Some(why)) =
            (&*change.item.event, &change.item.endpoint, &change.item.why)
        {
            let key = (Arc::clone(&change.item.upstream), Arc::clone(endpoint));
            causes.insert(key, why.to_string());
        }
    }
    causes
}

/// How many stored writes there are; null where there is no outbox, and each number where it can't be asked.
pub(crate) async fn outbox(control: &Control) -> Value {
    if control.shared.outbox.get().is_none() {
        return Value::Null;
    }
    let states = mainstay_outbox::State::NAMES.into_iter();
    let Some(totals) = crate::admin::outbox_totals(&control.shared).await else {
        let unknown: BTreeMap<&str, Option<u64>> =
            states.chain(["oldest_waiting_unix_ms"]).map(|name| (name, None)).collect();
        return json!(unknown);
    };
    let mut counts: BTreeMap<&str, u64> = states.map(|state| (state, 0)).collect();
    for total in &totals {
        *counts.entry(total.state).or_default() += total.items;
    }
    let waiting = totals.iter().filter(|total| total.state == "waiting");
    let oldest = waiting.filter_map(|total| total.oldest).min();
    let mut value = json!(counts);
    value["oldest_waiting_unix_ms"] = json!(oldest);
    value
}

type Known<'a> = (bool, &'a mut Memory, &'a mut Vec<(Memory, Vec<Memory>)>);

struct Writing<'a> {
    control: &'a Control,
    look: &'a Look,
    outbox: &'a Value,
    wall: Wall,
    ejected: HashMap<(Arc<str>, Arc<str>), String>,
}

impl Writing<'_> {
    fn write(&self, out: &mut Vec<u8>, known: Option<Known<'_>>) {
        let (control, look) = (self.control, self.look);
        let (full, top, mut upstreams) = match known {
            Some((full, top, upstreams)) => (full, Some(top), Some(upstreams)),
            None => (true, None, None),
        };
        let shared = &control.shared;
        let mut object = Object::begin(out, top);
        object.name("v", 1);
        object.name("full", full);
        object.name("now_unix_ms", look.unix_ms);
        object.put("generation", look.generation.number);
        object.put("draining", !control.is_ready());
        object.put("calls_in_progress", control.calls());
        object.put(
            "connections",
            json!({
                "open": shared.connections(),
                "parked": control.parked(),
                "limit": look.generation.settings.limits.connections,
            }),
        );
        object.put("outbox", self.outbox);
        let services = look.generation.services.iter().zip(&look.upstreams).enumerate();
        object.list("upstreams", services, |out, (place, (service, seen))| {
            let known = upstreams.as_mut().and_then(|upstreams| upstreams.get_mut(place));
            self.upstream(out, known, service, seen)
        });
        if !object.end() {
            // A second in which nothing changed is told all the same: it is how a reader knows that all is well.
            let at = look.unix_ms;
            out.extend_from_slice(
                format!("{{\"v\":1,\"full\":false,\"now_unix_ms\":{at}}}").as_bytes(),
            );
        }
    }

    fn upstream(
        &self,
        out: &mut Vec<u8>,
        known: Option<&mut (Memory, Vec<Memory>)>,
        service: &Service,
        seen: &UpstreamLook,
    ) -> bool {
        let now = self.look.at;
        let (memory, mut endpoints) = match known {
            Some((memory, endpoints)) => (Some(memory), Some(endpoints)),
            None => (None, None),
        };
        let (fares, each) = service.recorder().now();
        let budget = service.upstream().budget().level(now);
        let mut object = Object::begin(out, memory);
        object.name("name", &**service.name());
        object.put("state", in_a_word(seen));
        object.put("last_s", last(&fares.last));
        object.put("minute", minute(&fares.minute));
        object.put("lately", lately(&fares.lately));
        object.put("total", total(&fares));
        object.put("in_progress", fares.in_progress);
        object.put(
            "budget",
            json!({
                "tokens": budget.tokens,
                "capacity": budget.capacity,
                "calls": budget.calls,
                "extra": budget.extra,
                "level": thousandths(seen.level),
            }),
        );
        object.put("load", load(&service.upstream().load(now), self.wall, now));
        let rows = (0..).zip(seen.views.iter().zip(each).zip(service.targets()));
        object.list("endpoints", rows, |out, (place, ((view, fares), target))| {
            let known = endpoints.as_mut().and_then(|known| known.get_mut(usize::from(place)));
            self.endpoint(out, known, service, EndpointId(place), view, &fares, target)
        });
        object.end()
    }

    #[expect(clippy::too_many_arguments, reason = "one row, with all that is known of it")]
    fn endpoint(
        &self,
        out: &mut Vec<u8>,
        memory: Option<&mut Memory>,
        service: &Service,
        id: EndpointId,
        view: &EndpointView,
        fares: &EndpointNow,
        target: &Target,
    ) -> bool {
        let (now, wall) = (self.look.at, self.wall);
        let mut object = Object::begin(out, memory);
        object.name("name", &*view.name);
        object.put("tier", view.tier);
        object.put("weight", view.weight);
        object.put("state", EndpointState::of(view, now).code());
        object.put("since_unix_ms", wall.of(fares.since));
        object.put("ordered", service.upstream().ordered(id).code());
        object.put("breaker", breaker(view.breaker, wall));
        let routes = view.route_breakers.iter().map(|(route, it)| (route, breaker(*it, wall)));
        object.put("route_breakers", routes.collect::<BTreeMap<_, _>>());
        // What isn't bad changes all the time, and nobody looks.
        let counts = view.counts;
        let is_bad = counts.failures > 0 || counts.slow > 0;
        object.put("window", is_bad.then(|| {
            json!({ "calls": counts.calls, "failures": counts.failures, "slow": counts.slow })
        }));
        object.put("healthy", view.healthy);
        object.put(
            "check",
            view.last_check.map(|check| {
                let details = check.broke.and_then(|kind| service.check_details(id, kind));
                json!({
                    "at_unix_ms": wall.of(check.at),
                    "passed": check.broke.is_none(),
                    "code": check.broke.map(mainstay_core::BreakKind::code),
                    "details": details.as_deref(),
                })
            }),
        );
        object.put(
            "ejected",
            wall.ahead(view.ejected_until, now).map(|until| {
                let key = (Arc::clone(service.name()), Arc::from(&*view.name));
                json!({ "until_unix_ms": until, "cause": self.ejected.get(&key) })
            }),
        );
        object.put("throttled_until_unix_ms", wall.ahead(view.throttled_until, now));
        object.put("warm_percent", view.warm.parts() / 100);
        object.put(
            "latency",
            json!({ "p50_ms": fares.look.p50.map(millis), "p99_ms": fares.look.p99.map(millis) }),
        );
        object.put("in_flight", view.in_flight);
        let (attempts, broke) = fares.last;
        object.put("last_s", json!({ "attempts": attempts, "broke": broke }));
        let part = &fares.minute;
        let ended = part.answered + part.broke();
        let breaks = part.breaks.iter().map(|(kind, count)| (kind.code(), count));
        object.put(
            "minute",
            json!({
                "attempts": part.attempts,
                "answered": part.answered,
                "broke": part.broke(),
                "success": (ended > 0).then(|| ratio(part.answered, ended)),
                "breaks": breaks.collect::<BTreeMap<_, _>>(),
            }),
        );
        let connections = target.counts();
        object.put(
            "connections",
            json!({
                "idle": connections.idle,
                "in_use": connections.in_use,
                "stale_met": connections.stale_met,
                "idle_limit_ms": connections.idle_limit.map(millis),
            }),
        );
        object.end()
    }
}

/// `up` while all are asked, `down` when none is.
fn in_a_word(seen: &UpstreamLook) -> &'static str {
    let is_well = |state: EndpointState| {
        matches!(state, EndpointState::Up | EndpointState::Warming | EndpointState::ForcedClosed)
    };
    let mut states = seen.endpoints.iter().map(|endpoint| endpoint.state);
    if states.clone().all(is_well) {
        "up"
    } else if states.any(EndpointState::is_usable) {
        "degraded"
    } else {
        "down"
    }
}

fn last(part: &CallPart) -> Value {
    json!({
        "calls": part.calls,
        "attempts": part.attempts,
        "delivered": part.delivered,
        "failed": part.failed,
        "saved": part.all_saved(),
    })
}

fn saved(part: &CallPart) -> Value {
    let [retry, failover, hedge, heal] = part.saved;
    json!({ "retry": retry, "failover": failover, "hedge": hedge, "heal": heal })
}

fn minute(part: &CallPart) -> Value {
    json!({
        "calls": part.calls,
        "delivered": part.delivered,
        "failed": part.failed,
        "as_is": part.as_is,
        "cut": part.cut,
        "shed": part.shed,
        "success": part.success().map(ten_thousandths),
        "amplification": part.amplification().map(thousandths),
        "saved": saved(part),
    })
}

/// Of so many minutes what a person wants to know even where no incident is.
fn lately(part: &CallPart) -> Value {
    json!({ "minutes": 10, "calls": part.calls, "broken": part.all_failed(), "saved": part.all_saved() })
}

fn total(fares: &UpstreamNow) -> Value {
    let part = &fares.total;
    json!({
        "calls": part.calls,
        "failed": part.failed,
        "as_is": part.as_is,
        "cut": part.cut,
        "degraded": part.degraded,
        "saved": saved(part),
    })
}

fn load(view: &LoadView, wall: Wall, now: Timestamp) -> Value {
    json!({
        "limit": view.limit.map(|limit| json!({
            "current": limit.current, "min": limit.min, "max": limit.max, "in_flight": view.in_flight,
        })),
        "waiting": view.waiting,
        "paused_until_unix_ms": wall.ahead(view.paused_until, now),
        "rate_available": view.rate_available,
        "throttle": view.throttle.map(|throttle| json!({
            "requests": throttle.requests,
            "accepts": throttle.accepts,
            "refused_percent": f64::from(throttle.refused.parts()) / 100.0,
        })),
    })
}

fn breaker(state: BreakerState, wall: Wall) -> Value {
    match state {
        BreakerState::Closed => json!({ "state": "closed" }),
        BreakerState::Open { until } => {
            let until = (until < Timestamp::MAX).then(|| wall.of(until));
            json!({ "state": "open", "until_unix_ms": until })
        }
        BreakerState::HalfOpen { probing, succeeded } => {
            json!({ "state": "half-open", "probing": probing, "succeeded": succeeded })
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    ten_thousandths(part as f64 / whole as f64)
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn ten_thousandths(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// To three digits or so: more isn't known of a percentile.
fn millis(length: Duration) -> f64 {
    let millis = length.as_secs_f64() * 1e3;
    if millis < 10.0 { (millis * 1e3).round() / 1e3 } else { (millis * 10.0).round() / 10.0 }
}

/// The wall clock may run that far from where it was before moments are counted anew.
const DRIFT_MS: u64 = 200;
