//! The metrics that are looked at when somebody scrapes: states and levels, which the engine and the pool know.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::breaker::BreakerState;
use mainstay_core::budget::BudgetLevel;
use mainstay_core::upstream::{EndpointView, LoadView, Percentile};

use super::page::{Family, Page};
use super::table::{self, Metric};

/// An upstream at the time of a scrape. The proxy fills it from the engine's views and its pool.
#[derive(Clone, Debug)]
pub struct UpstreamSnapshot {
    /// The upstream's name, the one that its recorder has.
    pub name: String,
    /// When it was taken.
    pub at: Timestamp,
    /// Its endpoints, in the order of their ids.
    pub endpoints: Vec<EndpointSnapshot>,
    /// The account for extra attempts.
    pub budget: BudgetLevel,
    /// What is let through to it.
    pub load: LoadView,
    /// Its event streams that are kept for applications that come back.
    pub rings: RingCounts,
    /// Writes to it that are stored; nothing where there is no outbox.
    pub stored: Vec<StoredSnapshot>,
}

/// Stored writes of one state.
#[derive(Clone, Debug)]
pub struct StoredSnapshot {
    /// The state's name.
    pub state: &'static str,
    /// How many.
    pub items: u64,
    /// Bytes of their requests.
    pub bytes: u64,
    /// How long ago the first of them was accepted.
    pub oldest: Duration,
}

/// An endpoint at the time of a scrape.
#[derive(Clone, Debug)]
pub struct EndpointSnapshot {
    /// What the engine shows.
    pub view: EndpointView,
    /// Connections that are kept for later.
    pub idle_connections: u32,
    /// Connections in use.
    pub busy_connections: u32,
    /// Closes of kept connections by the peer.
    pub stale: StaleCloses,
    /// The age at which the peer closes idle connections, as far as is known.
    pub idle_limit: Option<Duration>,
    /// What is known of its name's addresses; nothing where its host is an address itself.
    pub names: Option<NamesSnapshot>,
    /// How long its answers take, as far as enough of them are known.
    pub percentiles: Vec<(Percentile, Duration)>,
    /// When its certificate ends, in seconds since 1970.
    pub certificate_ends_at: Option<u64>,
}

/// What is known of a name's addresses.
#[derive(Clone, Debug)]
pub struct NamesSnapshot {
    /// How many are in use.
    pub addresses: usize,
    /// How long ago they were found.
    pub age: Option<Duration>,
    /// Lookups that have ended, by outcome.
    pub lookups: Vec<(&'static str, u64)>,
}

/// What became of kept connections that the peer closed, or would have closed.
#[derive(Clone, Copy, Debug, Default)]
pub struct StaleCloses {
    /// They were retired before.
    pub avoided: u64,
    /// A request ran into the close.
    pub met: u64,
    /// The close was seen while they were idle.
    pub seen: u64,
}

/// What became of the streams of one upstream that may be kept, and of those who came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Streams that are kept now.
    pub open: usize,
    /// Bytes of memory that their events take now.
    pub bytes: u64,
    /// Streams that began to be kept.
    pub made: u64,
    /// Streams that weren't, since as many are as may be.
    pub refused: u64,
    /// Applications that came back and went on behind the last event that they had.
    pub resumed: u64,
    /// Applications that came back after their stream had ended, and had all of it.
    pub over: u64,
    /// Applications that came back with an id of which nothing is known.
    pub unknown: u64,
    /// Applications that came back too late: more had come since than is kept.
    pub fallen_out: u64,
}

/// Writes everything that a snapshot holds.
pub(super) fn write(page: &mut Page, all: &[UpstreamSnapshot]) {
    write_breakers(page, all);
    let flag = |is: bool| if is { 1.0 } else { 0.0 };
    each(page, &table::ENDPOINT_HEALTHY, all, |_, endpoint| flag(endpoint.view.healthy));
    each(page, &table::ENDPOINT_EJECTED, all, |at, endpoint| {
        flag(endpoint.view.ejected_until.is_some_and(|until| until > at))
    });
    each(page, &table::ENDPOINT_THROTTLED, all, |at, endpoint| {
        flag(endpoint.view.throttled_until.is_some_and(|until| until > at))
    });
    each(page, &table::ENDPOINT_LATENCY, all, |_, endpoint| endpoint.view.latency.as_secs_f64());
    write_percentiles(page, all);
    each(page, &table::IN_FLIGHT, all, |_, endpoint| endpoint.view.in_flight.into());
    let mut family = page.family(&table::CONNECTIONS);
    for (upstream, endpoint) in endpoints(all) {
        for (state, count) in
            [("idle", endpoint.idle_connections), ("busy", endpoint.busy_connections)]
        {
            let labels =
                [("upstream", upstream), ("endpoint", &endpoint.view.name), ("state", state)];
            family.gauge(&labels, count.into());
        }
    }
    write_names(page, all);
    write_stale_closes(page, all);
    write_budgets(page, all);
    write_load(page, all);
    write_rings(page, all);
    write_stored(page, all);
}

fn write_rings(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut gauge = |metric: &'static Metric, of: fn(&RingCounts) -> f64| {
        let mut family = page.family(metric);
        all.iter().for_each(|one| family.gauge(&[("upstream", &one.name)], of(&one.rings)));
    };
    gauge(&table::EVENT_RINGS, |rings| rings.open as f64);
    gauge(&table::EVENT_RING_BYTES, |rings| rings.bytes as f64);
    let mut count = |metric: &'static Metric, of: fn(&RingCounts) -> Vec<(&'static str, u64)>| {
        let mut family = page.family(metric);
        for one in all {
            for (result, count) in of(&one.rings) {
                family.count(&[("upstream", &one.name), ("result", result)], count);
            }
        }
    };
    count(&table::EVENT_RINGS_BEGUN, |rings| {
        vec![("kept", rings.made), ("refused", rings.refused)]
    });
    count(&table::EVENT_RETURNS, |rings| {
        vec![
            ("resumed", rings.resumed),
            ("over", rings.over),
            ("unknown", rings.unknown),
            ("fallen-out", rings.fallen_out),
        ]
    });
}

fn write_stored(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut gauge = |metric: &'static Metric, of: fn(&StoredSnapshot) -> f64| {
        let mut family = page.family(metric);
        for upstream in all {
            for stored in &upstream.stored {
                let labels = [("upstream", &*upstream.name), ("state", stored.state)];
                family.gauge(&labels, of(stored));
            }
        }
    };
    gauge(&table::OUTBOX_ITEMS, |stored| stored.items as f64);
    gauge(&table::OUTBOX_BYTES, |stored| stored.bytes as f64);
    gauge(&table::OUTBOX_OLDEST, |stored| stored.oldest.as_secs_f64());
}

fn write_percentiles(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut family = page.family(&table::ENDPOINT_PERCENTILE);
    for (upstream, endpoint) in endpoints(all) {
        for (percentile, took) in &endpoint.percentiles {
            let labels = [
                ("upstream", upstream),
                ("endpoint", &*endpoint.view.name),
                ("percentile", percentile.code()),
            ];
            family.gauge(&labels, took.as_secs_f64());
        }
    }
}

fn write_load(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut gauge = |metric: &'static Metric, of: fn(&UpstreamSnapshot) -> Option<f64>| {
        let mut family = page.family(metric);
        for upstream in all {
            if let Some(value) = of(upstream) {
                family.gauge(&[("upstream", &upstream.name)], value);
            }
        }
    };
    gauge(&table::CONCURRENCY_LIMIT, |upstream| Some(upstream.load.limit?.current.into()));
    gauge(&table::LIMIT_IN_FLIGHT, |upstream| {
        upstream.load.limit.map(|_| upstream.load.in_flight.into())
    });
    gauge(&table::LINE_LENGTH, |upstream| Some(upstream.load.waiting.into()));
    gauge(&table::PAUSED, |upstream| {
        let is_paused = upstream.load.paused_until.is_some_and(|until| until > upstream.at);
        Some(if is_paused { 1.0 } else { 0.0 })
    });
}

fn write_stale_closes(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut family = page.family(&table::STALE_CLOSES);
    for (upstream, endpoint) in endpoints(all) {
        let StaleCloses { avoided, met, seen } = endpoint.stale;
        for (result, count) in [("avoided", avoided), ("met", met), ("seen", seen)] {
            let labels =
                [("upstream", upstream), ("endpoint", &*endpoint.view.name), ("result", result)];
            family.count(&labels, count);
        }
    }
    let mut family = page.family(&table::LEARNED_IDLE_LIMIT);
    for (upstream, endpoint) in endpoints(all) {
        if let Some(limit) = endpoint.idle_limit {
            let labels = [("upstream", upstream), ("endpoint", &*endpoint.view.name)];
            family.gauge(&labels, limit.as_secs_f64());
        }
    }
}

fn write_names(page: &mut Page, all: &[UpstreamSnapshot]) {
    let named = || endpoints(all).filter_map(|(up, one)| Some((up, one, one.names.as_ref()?)));
    let mut family = page.family(&table::DNS_LOOKUPS);
    for (upstream, endpoint, names) in named() {
        for (outcome, count) in &names.lookups {
            let place = [("upstream", upstream), ("endpoint", &*endpoint.view.name)];
            family.count(&[place[0], place[1], ("outcome", outcome)], *count);
        }
    }
    let mut family = page.family(&table::DNS_ADDRESSES);
    for (upstream, endpoint, names) in named() {
        let labels = [("upstream", upstream), ("endpoint", &*endpoint.view.name)];
        family.gauge(&labels, names.addresses as f64);
    }
    let mut family = page.family(&table::DNS_AGE);
    for (upstream, endpoint, names) in named() {
        if let Some(age) = names.age {
            let labels = [("upstream", upstream), ("endpoint", &*endpoint.view.name)];
            family.gauge(&labels, age.as_secs_f64());
        }
    }
    let mut family = page.family(&table::CERTIFICATE_EXPIRY);
    for (upstream, endpoint) in endpoints(all) {
        if let Some(at) = endpoint.certificate_ends_at {
            let labels = [("upstream", upstream), ("endpoint", &*endpoint.view.name)];
            family.gauge(&labels, at as f64);
        }
    }
}

fn write_breakers(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut family = page.family(&table::BREAKER_STATE);
    for (upstream, endpoint) in endpoints(all) {
        for state in ["closed", "open", "half_open"] {
            let is = if code(endpoint.view.breaker) == state { 1.0 } else { 0.0 };
            let labels =
                [("upstream", upstream), ("endpoint", &endpoint.view.name), ("state", state)];
            family.gauge(&labels, is);
        }
    }
    let mut family = page.family(&table::ROUTE_BREAKER_STATE);
    for (upstream, endpoint) in endpoints(all) {
        for (route, state) in &endpoint.view.route_breakers {
            write_route_breaker(&mut family, upstream, &endpoint.view.name, route, *state);
        }
    }
}

/// Up to 64 routes at 1000 endpoints would be too much to write while all are closed, as they nearly always are.
fn write_route_breaker(
    family: &mut Family<'_>,
    upstream: &str,
    endpoint: &str,
    route: &str,
    state: BreakerState,
) {
    if state != BreakerState::Closed {
        let place = [("upstream", upstream), ("endpoint", endpoint), ("route", route)];
        family.gauge(&[place[0], place[1], place[2], ("state", code(state))], 1.0);
    }
}

fn write_budgets(page: &mut Page, all: &[UpstreamSnapshot]) {
    let mut level = |metric: &'static Metric, of: fn(&BudgetLevel) -> u32| {
        let mut family = page.family(metric);
        for upstream in all {
            family.gauge(&[("upstream", &upstream.name)], of(&upstream.budget).into());
        }
    };
    level(&table::BUDGET_TOKENS, |budget| budget.tokens);
    level(&table::BUDGET_CAPACITY, |budget| budget.capacity);
    level(&table::BUDGET_CALLS, |budget| budget.calls);
    level(&table::BUDGET_EXTRA, |budget| budget.extra);
}

fn each(
    page: &mut Page,
    metric: &'static Metric,
    all: &[UpstreamSnapshot],
    value: impl Fn(Timestamp, &EndpointSnapshot) -> f64,
) {
    let mut family = page.family(metric);
    for upstream in all {
        for endpoint in &upstream.endpoints {
            let labels = [("upstream", &*upstream.name), ("endpoint", &*endpoint.view.name)];
            family.gauge(&labels, value(upstream.at, endpoint));
        }
    }
}

fn endpoints(all: &[UpstreamSnapshot]) -> impl Iterator<Item = (&str, &EndpointSnapshot)> {
    all.iter()
        .flat_map(|upstream| upstream.endpoints.iter().map(|endpoint| (&*upstream.name, endpoint)))
}

const fn code(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen { .. } => "half_open",
    }
}
