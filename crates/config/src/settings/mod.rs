//! Checked settings: what the program uses, as opposed to what the user wrote.
//!
//! They come from a file ([`crate::load`]), from the command line ([`crate::quick`]) or from a test. Each value is within
//! its bounds, each name resolves, and no value means "unset". A reload compares two of these and swaps.

mod connect;
mod degrade;
mod limits;
mod outbox;
mod records;
mod route;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

pub use connect::{
    CertificateFiles, ConnectSettings, DnsSettings, Http2, PoolSettings, TlsSettings,
};
pub use degrade::{Fallback, STALE_ARRIVING_SHARE, Stale};
pub use limits::Limits;
pub use outbox::{LaneBy, MaybeDone, Outbox, OutboxMode, RouteOutbox};
pub use records::{RecordedCalls, Records};
pub use route::{CallFields, Forwarded, HostRewrite, Matcher, NameMatch, PathMatch, Route, Spill};
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
    /// Worker threads; `None` is one per core.
    pub threads: Option<usize>,
    /// How long SIGTERM waits for calls to finish. Default 30 s.
    pub drain_timeout: Duration,
    /// At least one, names unique.
    pub upstreams: Vec<Upstream>,
    /// At least one; the first that matches a request is used.
    pub routes: Vec<Route>,
    /// Log one line for each call, not only for broken ones. Default false.
    pub log_calls: bool,
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
