//! How connections to an upstream's endpoints are made and kept.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::ping::PingSettings;

/// How connections are made, secured, watched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectSettings {
    /// Name resolution, TCP and TLS together, per connection. 10 ms to 5 min, default 3 s.
    pub connect_timeout: Duration,
    /// Name resolution, where no addresses are known yet. 10 ms to 5 min, default 2 s.
    pub resolve_timeout: Duration,
    /// The TCP handshake with each address. 10 ms to 5 min, default 2 s: a lost SYN is sent again after 1 s.
    pub tcp_timeout: Duration,
    /// The TLS handshake. 10 ms to 5 min, default 2 s.
    pub tls_timeout: Duration,
    /// How names are resolved.
    pub dns: DnsSettings,
    /// Delay between the starts of attempts at the addresses of one name (RFC 8305). 10 ms to 2 s, default 250 ms.
    pub race_delay: Duration,
    /// TCP keep-alive: first probe after this much silence, and between probes. `None` switches it off. Default 15 s.
    pub tcp_keepalive: Option<Duration>,
    /// TCP_USER_TIMEOUT: sent data unacknowledged for so long ends the connection. Default 30 s; `None`: the system's.
    pub tcp_user_timeout: Option<Duration>,
    /// Whether what the peer had acknowledged when it closed a connection may prove that a request never reached it.
    /// Default true.
    pub close_evidence: bool,
    /// Whether and how HTTP/2 is spoken.
    pub http2: Http2,
    /// When HTTP/2 connections are PINGed. Default: quiet for 10 s before use, 15 s of waiting, 1 s for the answer.
    pub pings: PingSettings,
    /// TLS, for https endpoints.
    pub tls: TlsSettings,
    /// Kept connections.
    pub pool: PoolSettings,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            resolve_timeout: Duration::from_secs(2),
            tcp_timeout: Duration::from_secs(2),
            tls_timeout: Duration::from_secs(2),
            dns: DnsSettings::default(),
            race_delay: Duration::from_millis(250),
            tcp_keepalive: Some(Duration::from_secs(15)),
            tcp_user_timeout: Some(Duration::from_secs(30)),
            close_evidence: true,
            http2: Http2::Auto,
            pings: PingSettings::default(),
            tls: TlsSettings::default(),
            pool: PoolSettings::default(),
        }
    }
}

/// How names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Name servers to ask; the system's when there are none.
    pub servers: Vec<SocketAddr>,
    /// Addresses are taken as fresh for at least so long, whatever their TTL. 0 to 1 h, default 1 s.
    pub min_ttl: Duration,
    /// Addresses are looked up again after so long at most, whatever their TTL. 1 s to 24 h, default 5 min.
    pub max_ttl: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
        }
    }
}

/// Whether and how HTTP/2 is spoken to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Http2 {
    /// Over TLS if ALPN agrees on it; never in the clear. Default.
    Auto,
    /// Always: by ALPN alone over TLS, by prior knowledge in the clear.
    Always,
    /// Never.
    Never,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Certificate and key to present.
    pub client: Option<CertificateFiles>,
    /// Name to ask for and to verify, instead of the endpoint's host.
    pub server_name: Option<String>,
    /// Accept any certificate. Anyone on the path can then read and change everything.
    pub danger_accept_any_certificate: bool,
    /// A certificate that an endpoint shows and that ends within so long is warned about. 0 to 365 d, default 14 d.
    pub expiry_warning: Duration,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            ca: None,
            client: None,
            server_name: None,
            danger_accept_any_certificate: false,
            expiry_warning: Duration::from_secs(14 * 24 * 60 * 60),
        }
    }
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Kept connections, per endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Idle connections that are kept, all cores together. 0 to 100,000, default 256.
    pub max_idle: u32,
    /// How long an idle one is kept. Default 50 s: below the 60 s that many servers and balancers close at.
    pub idle_timeout: Duration,
    /// Whether the age at which the peer closes idle ones is learned, and they are retired before. Default true.
    pub learn_idle: bool,
    /// Connections in all, in use and idle. 1 to 100,000, default 1,024; beyond it a call waits in the queue.
    pub max_connections: u32,
    /// Calls that wait for a connection at a time. 0 to 100,000, default 256; beyond it a call breaks with
    /// `limit-reached`.
    pub queue: u32,
    /// How long a call waits there. 1 ms to 5 min, default 1 s.
    pub queue_timeout: Duration,
    /// Requests that a connection carries before it is used no more, − 10 % jitter. Default none.
    pub max_requests: Option<u32>,
    /// How old a connection may grow before it is used no more, − 10 % jitter. Default 10 min.
    pub max_age: Duration,
    /// Connections that are kept ready ahead of demand. 0 to 1,000, default 0; never beyond the limits above.
    pub spares: u32,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_idle: 256,
            idle_timeout: Duration::from_secs(50),
            learn_idle: true,
            max_connections: 1024,
            queue: 256,
            queue_timeout: Duration::from_secs(1),
            max_requests: None,
            max_age: Duration::from_secs(600),
            spares: 0,
        }
    }
}
