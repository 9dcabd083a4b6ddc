//! The keys of the file itself.

use super::call::DRAIN_MOST;
use super::{
    Key, Kind, Rule, incidents, key, length, limits, logs, millis, number, outbox, own, records,
    section, traces,
};
use crate::draft::TopDraft;
use crate::settings::LogFormat;

pub(crate) fn top() -> Vec<Key<TopDraft>> {
    let mut keys = vec![
        key("listen", Kind::Texts(Rule::Address), |t: &mut TopDraft| &mut t.listen)
            .default_is("\"127.0.0.1:8080\", when there is no `[[listener]]`")
            .says("Where applications connect, in the clear."),
        own("listener", Kind::Tables).default_is("none").says("Further addresses, with TLS."),
        own("admin", Kind::Admin)
            .default_is("\"127.0.0.1:9900\"")
            .says("Where the dashboard, the metrics and the admin API are."),
        key("drain_timeout", length(millis(0), DRAIN_MOST), |t: &mut TopDraft| {
            &mut t.drain_timeout
        })
        .says("How long a shutdown waits for calls to finish.")
        .low("Calls are cut off.")
        .high("A deployment waits for a stuck call."),
        key("threads", number(1, 1024), |t: &mut TopDraft| &mut t.threads)
            .default_is("one per core")
            .says("Worker threads.")
            .low("Cores stay unused.")
            .high("They get in each other's way."),
        key("log_calls", Kind::Flag, |t: &mut TopDraft| &mut t.log_calls)
            .says("Log one line for each call, not only for broken ones."),
        key("log_format", Kind::choice::<LogFormat>(), |t: &mut TopDraft| &mut t.log_format)
            .says("How lines of the log look: `key=value` pairs, or one JSON object a line."),
        own("upstream", Kind::Named)
            .default_is("must be given")
            .says("The services, each by its name: `[upstream.orders]`."),
        own("route", Kind::Tables)
            .default_is("everything goes to the only upstream")
            .says("Which requests go where; the first that matches is used."),
    ];
    let text = "What bounds the applications' side, so that no client can exhaust the proxy.";
    keys.extend(section("limits", text, limits::keys(), |t: &mut TopDraft| &mut t.limits));
    let text = "What is kept of calls in which something broke, for `mainstay explain`.";
    keys.extend(section("records", text, records::keys(), |t: &mut TopDraft| &mut t.records));
    let text = "Where writes are stored until they are delivered, for routes that say `outbox`; without such a route there is no store.";
    keys.extend(section("outbox", text, outbox::store(), |t: &mut TopDraft| &mut t.outbox));
    let text = "One line for each request that comes over a listener. Off without a `file`. See docs/logs.md.";
    keys.extend(section("access_log", text, logs::access(), |t: &mut TopDraft| &mut t.access_log));
    let text = "When breaks are an incident, and who is told of it. See docs/incidents.md.";
    keys.extend(section("incidents", text, incidents::keys(), |t: &mut TopDraft| &mut t.incidents));
    let text = "Spans of calls, for OpenTelemetry. See docs/traces.md. Off without an `endpoint`.";
    keys.extend(section("traces", text, traces::keys(), |t: &mut TopDraft| &mut t.traces));
    let text = "The metrics of `/metrics` sent to a collector too, for OpenTelemetry. Off without an `endpoint`.";
    keys.extend(section("metrics", text, traces::metrics(), |t: &mut TopDraft| &mut t.metrics));
    keys
}
