//! `[traces]`, `[metrics]`, and what each export says of its collector.

use super::{Key, Kind, Rule, hours, key, length, millis, number, secs, within};
use crate::settings::{Collector, Metrics, OtlpProtocol, Traces};

pub(super) fn keys() -> Vec<Key<Traces>> {
    let mut keys = within("", collector(), |t: &mut Traces| &mut t.collector);
    keys.extend([
        key("ratio", Kind::Share { above_zero: false, below_one: false }, |t: &mut Traces| {
            &mut t.ratio
        })
        .says("Share of calls without a parent whose spans are exported. Those of broken calls are, whatever the share.")
        .low("Few examples of what is usual.")
        .high("CPU, and the collector's bill."),
        key("parent", Kind::Flag, |t: &mut Traces| &mut t.parent)
            .says("Whether the `sampled` flag of a request's own `traceparent` decides in place of `ratio`."),
        key("paths", Kind::Flag, |t: &mut Traces| &mut t.paths)
            .says("Whether spans say the request's path (`url.path`). Queries are never said."),
        key("queue", number(64, 1_000_000), |t: &mut Traces| &mut t.queue)
            .says("Calls that may wait to be exported; beyond that they are dropped and counted. The last quarter is for broken ones.")
            .low("A collector that is away for a moment costs spans.")
            .high("Memory: about 1 KB each, 40 KB at worst."),
        key("interval", length(millis(10), secs(60)), |t: &mut Traces| &mut t.interval)
            .says("How long they wait for others, to be sent together: 512 at once at most.")
            .low("Many small exports.")
            .high("Spans are seen late."),
    ]);
    keys
}

pub(super) fn metrics() -> Vec<Key<Metrics>> {
    let mut keys = within("", collector(), |m: &mut Metrics| &mut m.collector);
    keys.push(
        key("interval", length(secs(1), hours(1)), |m: &mut Metrics| &mut m.interval)
            .says("How often they are sent.")
            .low("The collector's bill.")
            .high("Alerts come late."),
    );
    keys
}

/// What is said of a server that takes OTLP.
pub(super) fn collector() -> Vec<Key<Collector>> {
    vec![
        key("endpoint", Kind::Text(Rule::Url), |c: &mut Collector| &mut c.endpoint)
            .default_is("none: nothing is exported")
            .says("The collector's URL, such as \"http://127.0.0.1:4317\", without the path that is the signal's own. Exports go through Mainstay itself: with retries, a budget and a breaker."),
        key("protocol", Kind::choice::<OtlpProtocol>(), |c: &mut Collector| &mut c.protocol)
            .says("How it is spoken to: \"grpc\" (as a rule port 4317), or \"http\" with protobuf (4318)."),
        key("headers_file", Kind::File, |c: &mut Collector| &mut c.headers_file)
            .default_is("none")
            .says("A file with header fields for it, one `Name: value` a line: keys and tokens."),
        key("headers_env", Kind::Text(Rule::Any), |c: &mut Collector| &mut c.headers_env)
            .default_is("none")
            .says("The environment variable with such fields: `name=value,name=value`, with percent-encoding."),
        key("resource", Kind::Texts(Rule::Attribute), |c: &mut Collector| &mut c.resource)
            .default_is("none")
            .says("What is said of this process beside `service.name` (`mainstay`, unless it is said here), `service.version`, `service.instance.id`, `host.name` and `process.pid`."),
    ]
}
