//! Upstreams and their endpoints.

use std::time::Duration;

use mainstay_core::{Checked, UpstreamSettings};

use super::ConnectSettings;

/// A named service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What it is called.
    pub name: String,
    /// What the engine decides by. Its endpoints are in the order of [`Upstream::endpoints`].
    pub policy: Checked<UpstreamSettings>,
    /// Where it is.
    pub endpoints: Vec<Endpoint>,
    /// How connections to it are made.
    pub connect: ConnectSettings,
    /// What an active check asks; `None` when there are none.
    pub probe: Option<Probe>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What it is called: given, or `host:port`.
    pub name: String,
    /// http or https.
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path that is put before the request's, without a slash at the end; empty for none.
    pub base_path: String,
}

impl Endpoint {
    /// Host and port as in a `Host` field: the scheme's own port is left out, IPv6 is in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What an active check asks. Its rhythm is in the engine's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it does.
    pub kind: ProbeKind,
    /// How long it may take. Default 2 s.
    pub timeout: Duration,
}

/// The ways to check an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A TCP handshake, and TLS where the endpoint has it. Default.
    Connect,
    /// A TCP handshake and a TLS handshake; all endpoints are https.
    Tls,
    /// `grpc.health.v1.Health/Check`, over HTTP/2.
    Grpc {
        /// The service that is asked about; empty for the server as a whole. Default empty.
        service: String,
    },
    /// A GET.
    Http {
        /// Path and query, behind the endpoint's base path.
        path: String,
        /// Statuses that pass, as inclusive ranges. Default 200 to 399.
        passes: Vec<(u16, u16)>,
        /// Text that the first 64 KiB of the body must contain.
        body_contains: Option<String>,
    },
}
