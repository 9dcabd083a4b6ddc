//! Where spans of calls and metrics go.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::Ratio;

use super::{Route, Upstream};

/// A server that takes OpenTelemetry's protocol (OTLP).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collector {
    /// Its URL, without the path that is the signal's own; `None`: nothing is exported. Default none.
    pub endpoint: Option<String>,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// A file with header fields, one `Name: value` a line. What is in it is read when the export starts.
    pub headers_file: Option<PathBuf>,
    /// An environment variable with header fields, as `name=value,name=value`.
    pub headers_env: Option<String>,
    /// Attributes of the resource, as `key=value`, beside `service.name` and what is known anyway.
    pub resource: Vec<String>,
}

/// The two ways to speak OTLP, both with protobuf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Unary calls over HTTP/2. Default.
    #[default]
    Grpc,
    /// POST, to a path of each signal.
    Http,
}

/// How calls are traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where spans go. Without one nothing is traced, and trace fields pass unchanged.
    pub collector: Collector,
    /// The share of calls without a parent that are kept. Broken ones always are. Default 1 %.
    pub ratio: Ratio,
    /// Whether a parent's `sampled` flag decides in place of the share. Default true.
    pub parent: bool,
    /// Whether spans say the request's path, without its query. Default true.
    pub paths: bool,
    /// Calls that may wait to be exported. 64 to 1,000,000, default 4,096.
    pub queue: usize,
    /// How long they wait for others, to go with them. 10 ms to 60 s, default 1 s.
    pub interval: Duration,
}

/// How metrics are sent to a collector, beside what is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where they go. Without one they are scraped only.
    pub collector: Collector,
    /// How often. 1 s to 1 h, default 60 s.
    pub interval: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { collector: Collector::default(), interval: Duration::from_secs(60) }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            collector: Collector::default(),
            ratio: Ratio::percent(1),
            parent: true,
            paths: true,
            queue: 4_096,
            interval: Duration::from_secs(1),
        }
    }
}

impl Collector {
    /// The collector as an upstream with one route, so that exports have what any call has: deadlines, retries, a budget, a
    /// breaker. A batch may come twice, as OTLP allows. `None` without an endpoint.
    #[must_use]
    pub fn settings(&self) -> Option<(Upstream, Route)> {
        let url = crate::text::quoted(self.endpoint.as_deref()?);
        let http2 = match self.protocol {
            OtlpProtocol::Grpc => "always",
            OtlpProtocol::Http => "auto",
        };
        let text = format!(
            "[upstream.{NAME}]\nendpoints = [{url}]\nconnect.http2 = \"{http2}\"\nidempotent = true\n\
             attempt_timeout = \"5s\"\ntotal_timeout = \"10s\"\nreplay = \"64MiB\"\nattempt_header = false\n"
        );
        let settings = crate::parse(&text, NAME).map(|loaded| loaded.settings);
        debug_assert!(settings.is_ok(), "{settings:?}");
        let settings = settings.ok()?;
        settings.upstreams.into_iter().next().zip(settings.routes.into_iter().next())
    }
}

/// What the upstream is called where exports are counted.
const NAME: &str = "collector";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Http2;

    #[test]
    fn a_collector_is_an_upstream_whose_calls_may_be_repeated() {
        for (protocol, http2) in
            [(OtlpProtocol::Grpc, Http2::Always), (OtlpProtocol::Http, Http2::Auto)]
        {
            let endpoint = Some("https://otel.example:4317/base".into());
            let collector = Collector { endpoint, protocol, ..Collector::default() };
            let (upstream, route) = collector.settings().unwrap();
            assert_eq!(upstream.connect.http2, http2);
            assert_eq!(upstream.endpoints[0].base_path, "/base");
            assert!(route.policy.idempotent && !route.fields.attempt);
        }
        assert_eq!(Collector::default().settings(), None);
    }
}
