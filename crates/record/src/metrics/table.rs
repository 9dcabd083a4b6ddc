//! The table of all metrics: what the exposition writes and the manual prints.
//!
//! Names, labels and meanings are promises to whoever built an alert on them. The number of series is bounded: values
//! of labels come from closed sets in the code, or are names of upstreams, endpoints and routes from the config. Never
//! a path, a host, an address, an id.

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name; a counter's without the `_total` at its end.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    /// One line, without a full stop.
    pub(crate) help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Metric {
    /// The unit that its name ends with, if it has one.
    pub(crate) fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes", "ratio"].into_iter().find(|unit| self.name.ends_with(unit))
    }
}

impl Kind {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

const UPSTREAM: &[&str] = &["upstream"];
const ENDPOINT: &[&str] = &["upstream", "endpoint"];

pub(crate) static CALLS_STARTED: Metric =
    counter("mainstay_calls_started", UPSTREAM, "Calls that began");
pub(crate) static CALLS: Metric = counter(
    "mainstay_calls",
    &["upstream", "outcome"],
    "Calls that ended: a good answer delivered, a broken attempt's own answer delivered as it is, or none",
);
pub(crate) static CALLS_IN_PROGRESS: Metric =
    gauge("mainstay_calls_in_progress", UPSTREAM, "Calls that began and haven't ended");
pub(crate) static CALLS_SAVED: Metric = counter(
    "mainstay_calls_saved",
    &["upstream", "saved"],
    "Calls with a good answer that the first attempt didn't bring, by what brought it",
);
pub(crate) static CALL_FAILURES: Metric = counter(
    "mainstay_call_failures",
    &["upstream", "kind", "certainty"],
    "Calls without an answer, by what broke last and how far the request may have got",
);
pub(crate) static CALL_DURATION: Metric = histogram(
    "mainstay_call_duration_seconds",
    &["upstream", "outcome"],
    "From a call's start to the head of its answer, or to its end without one",
);
pub(crate) static ATTEMPTS: Metric = counter(
    "mainstay_attempts",
    &["upstream", "endpoint", "reason"],
    "Attempts that were started, by why",
);
pub(crate) static ATTEMPT_RESULTS: Metric = counter(
    "mainstay_attempt_results",
    &["upstream", "endpoint", "result"],
    "Attempts that ended: with an answer worth delivering, broken, or outrun by another one",
);
pub(crate) static ATTEMPT_DURATION: Metric = histogram(
    "mainstay_attempt_duration_seconds",
    ENDPOINT,
    "From an attempt's start to the head of its answer, for answers worth delivering",
);
pub(crate) static BREAKS: Metric = counter(
    "mainstay_breaks",
    &["upstream", "endpoint", "kind", "phase"],
    "Attempts that broke, by what broke and in which phase",
);
pub(crate) static BODY_FAILURES: Metric = counter(
    "mainstay_body_failures",
    &["upstream", "endpoint", "kind"],
    "Bodies of delivered answers that broke",
);
pub(crate) static BODIES_RESUMED: Metric = counter(
    "mainstay_bodies_resumed",
    ENDPOINT,
    "Bodies of delivered answers that broke and that the endpoint went on with",
);
pub(crate) static ANSWERS_HEALED: Metric = counter(
    "mainstay_answers_healed",
    UPSTREAM,
    "Delivered answers whose body broke and came whole all the same",
);
pub(crate) static ANSWERS_CUT: Metric = counter(
    "mainstay_answers_cut",
    &["upstream", "why"],
    "Delivered answers whose body broke and ended as visibly broken: continuing is off, what would come couldn't be proved right, or the means ran out",
);
pub(crate) static UPLOADS_RESUMED: Metric = counter(
    "mainstay_uploads_resumed",
    ENDPOINT,
    "Resumable uploads that broke and went on from where the endpoint had them",
);
pub(crate) static UPLOADS_NOT_RESUMED: Metric = counter(
    "mainstay_uploads_not_resumed",
    &["upstream", "why"],
    "Resumable uploads that broke and couldn't go on: it couldn't be proved that the server's part is ours, or the means ran out",
);
pub(crate) static BODIES_UNREPEATABLE: Metric = counter(
    "mainstay_request_bodies_unrepeatable",
    UPSTREAM,
    "Calls whose request body couldn't be sent again",
);
pub(crate) static HEDGES: Metric = counter(
    "mainstay_hedges",
    &["upstream", "outcome"],
    "Second attempts beside the first: launched, and of those won (it brought the answer) or wasted",
);
pub(crate) static HEDGES_REFUSED: Metric = counter(
    "mainstay_hedges_refused",
    &["upstream", "reason"],
    "Second attempts that were due and not made, by why",
);
pub(crate) static ATTEMPTS_HELD: Metric = counter(
    "mainstay_attempts_held",
    &["upstream", "by"],
    "Attempts that had to wait before they started, by what for",
);
pub(crate) static BREAKER_WAIT: Metric = histogram(
    "mainstay_breaker_wait_seconds",
    &["upstream", "outcome"],
    "How long attempts waited while every breaker was open, until one let them through (`passed`) or the call ended (`ended`)",
);
pub(crate) static CALLS_SHED: Metric = counter(
    "mainstay_calls_shed",
    &["upstream", "reason"],
    "Calls that were refused before their first attempt, by why",
);
pub(crate) static DEGRADED: Metric = counter(
    "mainstay_degraded",
    &["upstream", "kind"],
    "Calls whose application got something in place of an answer: a stale one, or the route's fixed one",
);
pub(crate) static INCIDENTS: Metric =
    counter("mainstay_incidents", &["upstream", "cause"], "Incidents that began, by what broke");
pub(crate) static INCIDENTS_OPEN: Metric =
    gauge("mainstay_incidents_open", UPSTREAM, "Incidents that haven't ended");
pub(crate) static TUNNELS: Metric = counter(
    "mainstay_tunnels",
    &["upstream", "end"],
    "Connections that had switched protocols (WebSocket) and ended, by why",
);
pub(crate) static TUNNEL_BYTES: Metric = counter(
    "mainstay_tunnel_bytes",
    &["upstream", "direction"],
    "Bytes that went over these connections, counted when they end: sent by applications, or received from the upstream",
);
pub(crate) static TUNNEL_PINGS: Metric = counter(
    "mainstay_tunnel_pings",
    UPSTREAM,
    "WebSocket Pings of Mainstay's own, counted when the connection ends",
);
pub(crate) static TUNNELS_REOPENED: Metric = counter(
    "mainstay_tunnels_reopened",
    UPSTREAM,
    "Upstream connections of WebSocket tunnels that broke before the first message and were opened again",
);
pub(crate) static RETRIES_SCHEDULED: Metric = counter(
    "mainstay_retries_scheduled",
    &["upstream", "delay"],
    "Retries that were put off, by what decided for how long",
);
pub(crate) static RETRIES_REFUSED: Metric = counter(
    "mainstay_retries_refused",
    &["upstream", "reason"],
    "Broken calls for which nothing more was tried, by why",
);
pub(crate) static AMPLIFICATION: Metric = gauge(
    "mainstay_amplification_ratio",
    &["upstream", "window"],
    "Attempts per call: 1 is none extra. Absent without calls",
);
pub(crate) static BREAKER_TRANSITIONS: Metric = counter(
    "mainstay_breaker_transitions",
    &["upstream", "endpoint", "to"],
    "Changes of breakers, by the new state",
);
pub(crate) static BREAKER_OPENS: Metric = counter(
    "mainstay_breaker_opens",
    &["upstream", "endpoint", "cause"],
    "Breakers that opened, by why",
);
pub(crate) static EJECTIONS: Metric = counter(
    "mainstay_ejections",
    &["upstream", "endpoint", "cause"],
    "Endpoints taken out of balancing by what was observed, by why",
);
pub(crate) static EJECTIONS_ENDED: Metric =
    counter("mainstay_ejections_ended", ENDPOINT, "Ejected endpoints that came back");
pub(crate) static HEALTH_CHANGES: Metric = counter(
    "mainstay_health_changes",
    &["upstream", "endpoint", "to"],
    "Times that active checks changed their mind about an endpoint",
);
pub(crate) static CHECKS: Metric = counter(
    "mainstay_checks",
    &["upstream", "endpoint", "result"],
    "Active checks that have ended: passed, or the code of the break",
);
pub(crate) static THROTTLES: Metric = counter(
    "mainstay_endpoint_throttles",
    ENDPOINT,
    "Times that an endpoint asked to be left alone",
);
pub(crate) static FAILED_OPEN: Metric = counter(
    "mainstay_failed_open",
    ENDPOINT,
    "Attempts at an endpoint that wasn't usable, since none was",
);
pub(crate) static RECORDS: Metric =
    counter("mainstay_call_records", UPSTREAM, "Calls that are over, bodies included");
pub(crate) static BROKEN_CALLS: Metric = counter(
    "mainstay_broken_calls",
    UPSTREAM,
    "Calls that are over and in which something broke, whether it was made good or not",
);
pub(crate) static TRACE_DROPPED: Metric = counter(
    "mainstay_trace_events_dropped",
    UPSTREAM,
    "Events that a call's record had no room for",
);
pub(crate) static OUTBOX_ITEMS: Metric = gauge(
    "mainstay_outbox_items",
    &["upstream", "state"],
    "Stored writes; what is `stopped` waits for a person, and so does what is `dead`",
);
pub(crate) static OUTBOX_BYTES: Metric =
    gauge("mainstay_outbox_bytes", &["upstream", "state"], "Bytes of their requests");
pub(crate) static OUTBOX_OLDEST: Metric = gauge(
    "mainstay_outbox_oldest_seconds",
    &["upstream", "state"],
    "How long ago the first of them was accepted",
);
pub(crate) static OUTBOX_REACHABLE: Metric = gauge(
    "mainstay_outbox_reachable",
    &[],
    "Whether the outbox's file or database could be asked (1) or not (0); `mainstay_outbox_items` isn't there, then",
);
pub(crate) static LOG_DROPPED: Metric =
    counter("mainstay_log_lines_dropped", &[], "Lines of the log that couldn't be written in time");
pub(crate) static ACCESS_DROPPED: Metric = counter(
    "mainstay_access_lines_dropped",
    &[],
    "Lines of the access log that couldn't be written in time",
);
pub(crate) static FEED_LOST: Metric = counter(
    "mainstay_feed_items_lost",
    &[],
    "Items of the live feed that readers lost by being slow",
);
pub(crate) static TRACES_EXPORTED: Metric =
    counter("mainstay_traces_exported", &[], "Calls whose spans the collector took");
pub(crate) static TRACES_DROPPED: Metric = counter(
    "mainstay_traces_dropped",
    &[],
    "Calls whose spans weren't exported, since too many waited already",
);
pub(crate) static TRACES_REFUSED: Metric =
    counter("mainstay_traces_refused", &[], "Calls whose spans the collector didn't take");
pub(crate) static TRACES_QUEUED: Metric =
    gauge("mainstay_traces_queued", &[], "Calls whose spans wait to be exported");
pub(crate) static BREAKER_STATE: Metric = gauge(
    "mainstay_breaker_state",
    &["upstream", "endpoint", "state"],
    "1 for the state that an endpoint's breaker is in, 0 for the others",
);
pub(crate) static ROUTE_BREAKER_STATE: Metric = gauge(
    "mainstay_route_breaker_state",
    &["upstream", "endpoint", "route", "state"],
    "1 for the state of a route's own breaker at an endpoint. Absent while closed",
);
pub(crate) static ENDPOINT_HEALTHY: Metric =
    gauge("mainstay_endpoint_healthy", ENDPOINT, "Whether active checks find the endpoint healthy");
pub(crate) static ENDPOINT_EJECTED: Metric =
    gauge("mainstay_endpoint_ejected", ENDPOINT, "Whether the endpoint is ejected");
pub(crate) static ENDPOINT_THROTTLED: Metric = gauge(
    "mainstay_endpoint_throttled",
    ENDPOINT,
    "Whether the endpoint asked to be left alone now",
);
pub(crate) static ENDPOINT_LATENCY: Metric = gauge(
    "mainstay_endpoint_latency_seconds",
    ENDPOINT,
    "The average latency that balancing goes by: peaks count at once and fade",
);
pub(crate) static ENDPOINT_PERCENTILE: Metric = gauge(
    "mainstay_endpoint_latency_percentile_seconds",
    &["upstream", "endpoint", "percentile"],
    "How long the endpoint's answers of the last half minute took. Absent while too few are known",
);
pub(crate) static IN_FLIGHT: Metric = gauge(
    "mainstay_attempts_in_flight",
    ENDPOINT,
    "Attempts that are out now, bodies being delivered included",
);
pub(crate) static CONNECTIONS: Metric = gauge(
    "mainstay_connections",
    &["upstream", "endpoint", "state"],
    "Connections that are open now: kept for later, or in use",
);
pub(crate) static ADDRESSES_CHANGED: Metric = counter(
    "mainstay_dns_changes",
    ENDPOINT,
    "Times that an endpoint's name led to other addresses than before",
);
pub(crate) static ADDRESSES_KEPT: Metric = counter(
    "mainstay_dns_kept",
    ENDPOINT,
    "Times that lookups began to fail and the known addresses were used on",
);
pub(crate) static DNS_LOOKUPS: Metric = counter(
    "mainstay_dns_lookups",
    &["upstream", "endpoint", "outcome"],
    "Lookups of an endpoint's name that have ended: found, or the code of the break",
);
pub(crate) static DNS_ADDRESSES: Metric =
    gauge("mainstay_dns_addresses", ENDPOINT, "Addresses of an endpoint's name that are in use");
pub(crate) static DNS_AGE: Metric = gauge(
    "mainstay_dns_age_seconds",
    ENDPOINT,
    "How long ago the addresses were found. Absent while there are none",
);
pub(crate) static CERTIFICATE_WARNINGS: Metric = counter(
    "mainstay_certificate_warnings",
    ENDPOINT,
    "Certificates of an endpoint that were found to end soon",
);
pub(crate) static CERTIFICATE_EXPIRY: Metric = gauge(
    "mainstay_certificate_expiry_timestamp_seconds",
    ENDPOINT,
    "When the endpoint's certificate ends, in seconds since 1970. Absent until a TLS handshake",
);
pub(crate) static STALE_CLOSES: Metric = counter(
    "mainstay_stale_closes",
    &["upstream", "endpoint", "result"],
    "Closes of kept connections by the peer: avoided by retiring them before, seen while they were idle, or met by a request",
);
pub(crate) static LEARNED_IDLE_LIMIT: Metric = gauge(
    "mainstay_learned_idle_limit_seconds",
    ENDPOINT,
    "The age at which the peer closes idle connections. Absent while unknown",
);
pub(crate) static EVENT_RINGS: Metric = gauge(
    "mainstay_event_rings",
    UPSTREAM,
    "Event streams that are kept for applications that come back, with those whose application is there",
);
pub(crate) static EVENT_RING_BYTES: Metric =
    gauge("mainstay_event_ring_bytes", UPSTREAM, "Memory that their events take");
pub(crate) static EVENT_RINGS_BEGUN: Metric = counter(
    "mainstay_event_rings_begun",
    &["upstream", "result"],
    "Event streams that began to be kept, and those that weren't since as many are as may be",
);
pub(crate) static EVENT_RETURNS: Metric = counter(
    "mainstay_event_returns",
    &["upstream", "result"],
    "Applications that came back with an id of Mainstay's: they went on, had all of a stream that is over, or were told that events may be missing (unknown, fallen-out)",
);
pub(crate) static BUDGET_TOKENS: Metric =
    gauge("mainstay_budget_tokens", UPSTREAM, "Tokens left for extra attempts");
pub(crate) static BUDGET_CAPACITY: Metric =
    gauge("mainstay_budget_capacity_tokens", UPSTREAM, "Most tokens that there can be");
pub(crate) static BUDGET_CALLS: Metric =
    gauge("mainstay_budget_window_calls", UPSTREAM, "Calls in the budget's window");
pub(crate) static BUDGET_EXTRA: Metric = gauge(
    "mainstay_budget_window_extra_attempts",
    UPSTREAM,
    "Extra attempts in the budget's window, waiting ones included",
);

pub(crate) static CONCURRENCY_LIMIT: Metric = gauge(
    "mainstay_concurrency_limit",
    UPSTREAM,
    "Attempts that may be under way at the upstream. Absent where there is no limit",
);
pub(crate) static LIMIT_IN_FLIGHT: Metric = gauge(
    "mainstay_limit_in_flight",
    UPSTREAM,
    "Attempts that are under way within that limit. Absent where there is none",
);
pub(crate) static LINE_LENGTH: Metric =
    gauge("mainstay_line_length", UPSTREAM, "Calls that wait for room under a limit");
pub(crate) static PAUSED: Metric =
    gauge("mainstay_paused", UPSTREAM, "Whether the upstream asked all of us to stay away now");

/// Every metric, in the order of the exposition and the manual.
pub(crate) static ALL: [&Metric; 84] = [
    &CALLS_STARTED,
    &CALLS,
    &CALLS_IN_PROGRESS,
    &CALLS_SAVED,
    &CALL_FAILURES,
    &CALL_DURATION,
    &RECORDS,
    &BROKEN_CALLS,
    &TRACE_DROPPED,
    &BODIES_UNREPEATABLE,
    &HEDGES,
    &HEDGES_REFUSED,
    &ATTEMPTS_HELD,
    &BREAKER_WAIT,
    &CALLS_SHED,
    &DEGRADED,
    &INCIDENTS,
    &INCIDENTS_OPEN,
    &ANSWERS_HEALED,
    &ANSWERS_CUT,
    &UPLOADS_NOT_RESUMED,
    &TUNNELS,
    &TUNNEL_BYTES,
    &TUNNEL_PINGS,
    &TUNNELS_REOPENED,
    &RETRIES_SCHEDULED,
    &RETRIES_REFUSED,
    &AMPLIFICATION,
    &ATTEMPTS,
    &ATTEMPT_RESULTS,
    &ATTEMPT_DURATION,
    &BREAKS,
    &BODY_FAILURES,
    &BODIES_RESUMED,
    &UPLOADS_RESUMED,
    &BREAKER_TRANSITIONS,
    &BREAKER_OPENS,
    &EJECTIONS,
    &EJECTIONS_ENDED,
    &CHECKS,
    &HEALTH_CHANGES,
    &THROTTLES,
    &FAILED_OPEN,
    &BREAKER_STATE,
    &ROUTE_BREAKER_STATE,
    &ENDPOINT_HEALTHY,
    &ENDPOINT_EJECTED,
    &ENDPOINT_THROTTLED,
    &ENDPOINT_LATENCY,
    &ENDPOINT_PERCENTILE,
    &IN_FLIGHT,
    &CONNECTIONS,
    &ADDRESSES_CHANGED,
    &ADDRESSES_KEPT,
    &DNS_LOOKUPS,
    &DNS_ADDRESSES,
    &DNS_AGE,
    &CERTIFICATE_WARNINGS,
    &CERTIFICATE_EXPIRY,
    &STALE_CLOSES,
    &LEARNED_IDLE_LIMIT,
    &BUDGET_TOKENS,
    &BUDGET_CAPACITY,
    &BUDGET_CALLS,
    &BUDGET_EXTRA,
    &CONCURRENCY_LIMIT,
    &LIMIT_IN_FLIGHT,
    &LINE_LENGTH,
    &PAUSED,
    &EVENT_RINGS,
    &EVENT_RING_BYTES,
    &EVENT_RINGS_BEGUN,
    &EVENT_RETURNS,
    &OUTBOX_ITEMS,
    &OUTBOX_BYTES,
    &OUTBOX_OLDEST,
    &OUTBOX_REACHABLE,
    &LOG_DROPPED,
    &ACCESS_DROPPED,
    &FEED_LOST,
    &TRACES_EXPORTED,
    &TRACES_DROPPED,
    &TRACES_REFUSED,
    &TRACES_QUEUED,
];
