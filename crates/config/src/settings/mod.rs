//! Checked settings: what the program uses, as opposed to what the user wrote.
//!
//! They come from a file ([`crate::load`]), from the command line ([`crate::quick`]) or from a test. Each value is within
//! its bounds, each name resolves, and no value means "unset". A reload compares two of these and swaps.

mod connect;
mod degrade;
mod incidents;
mod limits;
mod logs;
mod outbox;
mod records;
mod route;
mod traces;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

pub use connect::{
    CertificateFiles, ConnectSettings, DnsSettings, Http2, PoolSettings, TlsSettings,
};
pub use degrade::{Fallback, STALE_ARRIVING_SHARE, Stale};
pub use incidents::Incidents;
pub use limits::Limits;
pub use logs::{AccessFormat, AccessLog, LogFormat};
pub use outbox::{Callback, LaneBy, MaybeDone, Outbox, OutboxMode, RouteOutbox};
pub use records::{RecordedCalls, Records};
pub use route::{
    CallFields, Forwarded, HostRewrite, Matcher, NameMatch, PathMatch, Route, Spill, TraceField,
};
pub use traces::{Collector, Metrics, OtlpProtocol, Traces};
pub use upstream::{Endpoint, Probe, ProbeKind, Scheme, Upstream};

/// Everything that `mainstay run` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where applications connect. At least one.
    pub listeners: Vec<Listener>,
    /// The admin address; `None` switches it off.
    pub admin: Option<Admin>,
    /// What bounds the applications' side.
    pub limits: Limits,
    /// What is kept of calls in which something broke.
    pub records: Records,
    /// Where writes are stored until they are delivered, if a route says `outbox`.
    pub outbox: Outbox,
    /// When breaks are an incident, and who is told of it.
    pub incidents: Incidents,
    /// How calls are traced.
    pub traces: Traces,
    /// How metrics are sent to a collector.
    pub metrics: Metrics,
    /// Worker threads; `None` is one per core.
    pub threads: Option<usize>,
    /// How long SIGTERM waits for calls to finish. Default 30 s.
    pub drain_timeout: Duration,
    /// At least one, names unique.
    pub upstreams: Vec<Upstream>,
    /// At least one; the first that matches a request is used.
    pub routes: Vec<Route>,
    /// How callbacks of stored writes, and incidents, are sent, one for each upstream that is named by a route's `outbox.callback` or `incidents.webhook`: routes that no
    /// request takes, by what the upstream says of its calls.
    pub callbacks: Vec<Route>,
    /// Log one line for each call, not only for broken ones. Default false.
    pub log_calls: bool,
    /// How lines of that log look.
    pub log_format: LogFormat,
    /// The log of requests.
    pub access_log: AccessLog,
}

/// An address that applications connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// With TLS, HTTP/1.1 and HTTP/2 are agreed on by ALPN; without, HTTP/2 comes by prior knowledge.
    pub tls: Option<CertificateFiles>,
}

/// The admin address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where. Default 127.0.0.1:9900. An address that isn't loopback needs a token.
    pub address: SocketAddr,
    /// The bearer token that requests must carry.
    pub token: Option<Secret>,
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself, for comparing and sending only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
