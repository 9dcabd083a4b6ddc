//! Whether a proxy says what broke: in its own log or its own metrics, in words from which somebody on call learns the cause.
//!
//! The rule is the same for all, and generous: one line of its log, or one counter above zero, that could come from this break and from
//! nothing else that happens in these scenarios. For Mainstay it is the break's code as a label of one of its metrics. For the others it is one of
//! these words in the log, or one of these counters (`name`, without labels, at least 1 in the sum):
//! HAProxy's termination states, check results and counters, nginx's error log, Envoy's response flags, details and statistics, and
//! Caddy's error log.

use std::net::SocketAddr;

use mainstay_core::breaks::BreakKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Proxy, Running};
use crate::support::PATIENCE;

/// What a proxy told by the end of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Told {
    log: String,
    metrics: String,
}

/// A sign by which a break is known.
enum Sign {
    /// Words in the log.
    Log(&'static str),
    /// A counter above zero.
    Count(&'static str),
}
use Sign::{Count, Log};

impl Told {
    /// Reads what there is.
    pub(crate) async fn by(running: &Running) -> Self {
        let page = match running.system.proxy {
            Proxy::Nginx | Proxy::Caddy => None,
            Proxy::Mainstay | Proxy::Haproxy => Some("/metrics"),
            Proxy::Envoy => Some("/stats"),
        };
        let metrics = match page {
            Some(page) => metrics(running.admin, page).await,
            None => String::new(),
        };
        Self { log: running.log(), metrics }
    }

    /// Whether one of the breaks is named.
    pub(crate) fn names(&self, proxy: Proxy, breaks: &[BreakKind]) -> bool {
        if proxy == Proxy::Mainstay {
            return breaks.iter().any(|kind| self.codes(kind.code()));
        }
        breaks.iter().flat_map(|kind| signs(proxy, *kind)).any(|sign| match sign {
            Log(words) => self.log.contains(words),
            Count(name) => self.counted(name),
        })
    }

    /// Whether a code of Mainstay's is a label of something that was counted.
    fn codes(&self, code: &str) -> bool {
        let label = format!("=\"{code}\"");
        let counted = |line: &str| {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            line.contains(&label) && value > Some(0.0)
        };
        self.metrics.lines().any(counted)
    }

    fn counted(&self, name: &str) -> bool {
        self.metrics.lines().any(|line| {
            let (found, value) = line.rsplit_once([' ', ':']).unwrap_or_default();
            let found = found.trim_end_matches(':');
            let is_it = found.ends_with(name) || found.contains(&format!("{name}{{"));
            is_it && value.trim().parse::<f64>().is_ok_and(|value| value > 0.0)
        })
    }
}

/// A proxy whose metrics can't be had has told nothing there.
async fn metrics(admin: SocketAddr, page: &str) -> String {
    // Envoy speaks no HTTP/1.0.
    let request = format!("GET {page} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    // What came until something broke is told all the same.
    let _ = timeout(PATIENCE, asked).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The signs of a break. A break that a proxy has no words for has none.
fn signs(proxy: Proxy, kind: BreakKind) -> &'static [Sign] {
    match proxy {
        Proxy::Mainstay => &[],
        Proxy::Haproxy => haproxy(kind),
        Proxy::Nginx => nginx(kind),
        Proxy::Envoy => envoy(kind),
        Proxy::Caddy => caddy(kind),
    }
}

/// Termination states: <https://docs.haproxy.org/2.6/configuration.html#8.5>.
fn haproxy(kind: BreakKind) -> &'static [Sign] {
    match kind {
        BreakKind::ConnectRefused => {
            &[Log("Connection refused"), Log("L4 unsuccessful connection"), Log(" SC-- ")]
        }
        BreakKind::ConnectTimeout | BreakKind::Unreachable => {
            &[Log("Layer4 timeout"), Log(" sC-- ")]
        }
        BreakKind::ResponseTimeout => &[Log(" sH-- "), Log("Layer7 timeout")],
        BreakKind::ResetBeforeHead | BreakKind::ClosedWhileIdle | BreakKind::WriteFailed => {
            &[Log(" SH-- "), Count("haproxy_server_response_errors_total")]
        }
        BreakKind::MalformedResponse | BreakKind::HeadTooLarge => &[Log(" PH-- ")],
        BreakKind::ServerError => &[
            Log("Layer7 wrong status"),
            Log(" 500 "),
            Log(" 502 "),
            Log(" 503 "),
            Log("Health analyze"),
            Log("Layer7 invalid"),
        ],
        BreakKind::Throttled => &[Log(" 429 "), Log(" 503 ")],
        BreakKind::BodyReset | BreakKind::BodyTruncated => &[Log(" SD-- ")],
        BreakKind::BodyStalled => &[Log(" sD-- ")],
        BreakKind::CertificateExpired
        | BreakKind::CertificateWrongName
        | BreakKind::CertificateUnknownIssuer
        | BreakKind::CertificateInvalid
        | BreakKind::TlsAlert
        | BreakKind::TlsProtocol => &[Log("SSL handshake failure"), Log("Layer6 invalid")],
        BreakKind::TlsTimeout => &[Log("Layer6 timeout")],
        BreakKind::NameNotFound | BreakKind::NoAddress | BreakKind::ResolverFailure => {
            &[Log("DNS"), Count("haproxy_resolver_other_error"), Count("haproxy_resolver_nx")]
        }
        BreakKind::ResolverTimeout => &[Log("DNS"), Count("haproxy_resolver_timeout")],
        _ => &[],
    }
}

fn nginx(kind: BreakKind) -> &'static [Sign] {
    match kind {
        BreakKind::ConnectRefused => &[Log("Connection refused) while connecting to upstream")],
        BreakKind::ConnectTimeout | BreakKind::Unreachable => {
            &[Log("timed out) while connecting to upstream")]
        }
        BreakKind::ResponseTimeout => &[Log("timed out) while reading response header")],
        BreakKind::ResetBeforeHead | BreakKind::ClosedWhileIdle | BreakKind::WriteFailed => &[
            Log("upstream prematurely closed connection while reading response header"),
            Log("reset by peer) while reading response header"),
            Log("while sending request to upstream"),
            Log("Broken pipe) while sending"),
        ],
        BreakKind::MalformedResponse => {
            &[Log("upstream sent no valid HTTP"), Log("upstream sent invalid header")]
        }
        BreakKind::BodyReset => &[
            Log("reset by peer) while reading upstream"),
            Log("prematurely closed connection while reading upstream"),
        ],
        BreakKind::BodyTruncated => &[
            Log("prematurely closed connection while reading upstream"),
            Log("upstream prematurely closed"),
        ],
        BreakKind::BodyStalled => &[Log("timed out) while reading upstream")],
        BreakKind::CertificateExpired
        | BreakKind::CertificateWrongName
        | BreakKind::CertificateUnknownIssuer
        | BreakKind::CertificateInvalid => &[
            Log("upstream SSL certificate verify error"),
            Log("upstream SSL certificate does not match"),
        ],
        BreakKind::TlsAlert | BreakKind::TlsProtocol => &[Log("SSL_do_handshake() failed")],
        BreakKind::TlsTimeout => &[Log("while SSL handshaking to upstream")],
        BreakKind::NameNotFound
        | BreakKind::NoAddress
        | BreakKind::ResolverFailure
        | BreakKind::ResolverTimeout => &[Log("could not be resolved")],
        BreakKind::StreamRefused | BreakKind::GoAway | BreakKind::StreamError => {
            &[Log("upstream sent goaway"), Log("upstream rejected request"), Log("goaway")]
        }
        _ => &[],
    }
}

/// Response flags and details:
/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>.
fn envoy(kind: BreakKind) -> &'static [Sign] {
    match kind {
        BreakKind::ConnectRefused | BreakKind::ConnectTimeout | BreakKind::Unreachable => {
            &[Log("UpstreamConnectionFailure"), Count("upstream_cx_connect_fail")]
        }
        BreakKind::ResponseTimeout => &[
            Log("UpstreamRequestTimeout"),
            Count("upstream_rq_timeout"),
            Count("upstream_rq_per_try_timeout"),
        ],
        BreakKind::ResetBeforeHead | BreakKind::ClosedWhileIdle | BreakKind::WriteFailed => &[
            Log("UpstreamConnectionTermination"),
            Count("upstream_cx_destroy_remote_with_active_rq"),
        ],
        BreakKind::MalformedResponse | BreakKind::HeadTooLarge => {
            &[Log("UpstreamProtocolError"), Count("upstream_cx_protocol_error")]
        }
        BreakKind::ServerError => &[Count("upstream_rq_5xx"), Count("upstream_rq_retry_5xx")],
        BreakKind::Throttled => &[Count("upstream_rq_429"), Count("upstream_rq_503")],
        BreakKind::BodyReset | BreakKind::BodyTruncated => &[
            Log("UpstreamConnectionTermination"),
            Log("UpstreamRemoteReset"),
            Count("upstream_cx_destroy_remote_with_active_rq"),
        ],
        BreakKind::BodyStalled => &[
            Log("StreamIdleTimeout"),
            Log("per_try_idle_timeout"),
            Count("upstream_rq_per_try_idle_timeout"),
        ],
        BreakKind::CertificateExpired
        | BreakKind::CertificateWrongName
        | BreakKind::CertificateUnknownIssuer
        | BreakKind::CertificateInvalid => &[
            Log("CERTIFICATE_VERIFY_FAILED"),
            Count("ssl.fail_verify_error"),
            Count("ssl.fail_verify_san"),
        ],
        BreakKind::TlsAlert | BreakKind::TlsProtocol => {
            &[Log("TLS_error"), Count("ssl.connection_error")]
        }
        BreakKind::TlsTimeout => &[Count("upstream_cx_connect_timeout")],
        BreakKind::NameNotFound
        | BreakKind::NoAddress
        | BreakKind::ResolverFailure
        | BreakKind::ResolverTimeout => &[Count("update_failure"), Count("resolve_total_failed")],
        BreakKind::StreamRefused => {
            &[Log("UpstreamRemoteReset"), Count("upstream_rq_rx_reset"), Count("http2.rx_reset")]
        }
        BreakKind::GoAway => &[Count("upstream_cx_close_notify"), Count("http2.goaway_sent")],
        BreakKind::StreamError => &[Count("upstream_rq_rx_reset")],
        _ => &[],
    }
}

fn caddy(kind: BreakKind) -> &'static [Sign] {
    match kind {
        BreakKind::ConnectRefused => &[Log("connection refused")],
        BreakKind::ConnectTimeout | BreakKind::Unreachable => &[Log("i/o timeout")],
        BreakKind::ResponseTimeout => &[
            Log("timeout awaiting response headers"),
            Log("context deadline exceeded"),
            Log("Client.Timeout exceeded"),
        ],
        BreakKind::ResetBeforeHead | BreakKind::ClosedWhileIdle | BreakKind::WriteFailed => &[
            Log("connection reset by peer"),
            Log("\"EOF\""),
            Log("server closed idle connection"),
            Log("broken pipe"),
        ],
        BreakKind::MalformedResponse => &[Log("malformed HTTP")],
        BreakKind::ServerError => &[Log("status code out of tolerances"), Log("unexpected status")],
        BreakKind::BodyReset => &[Log("connection reset by peer")],
        BreakKind::BodyTruncated => {
            &[Log("unexpected EOF"), Log("aborting with incomplete response")]
        }
        BreakKind::CertificateExpired => &[Log("certificate has expired")],
        BreakKind::CertificateWrongName => &[Log("certificate is valid for")],
        BreakKind::CertificateUnknownIssuer => &[Log("unknown authority")],
        BreakKind::CertificateInvalid => &[Log("x509:")],
        BreakKind::TlsAlert => &[Log("remote error: tls"), Log("tls: handshake failure")],
        BreakKind::TlsProtocol => &[Log("tls:")],
        BreakKind::TlsTimeout => &[Log("TLS handshake timeout"), Log("i/o timeout")],
        BreakKind::NameNotFound | BreakKind::NoAddress => &[Log("no such host")],
        BreakKind::ResolverFailure => &[Log("server misbehaving"), Log("lookup")],
        BreakKind::ResolverTimeout => &[Log("lookup")],
        BreakKind::StreamRefused => &[Log("REFUSED_STREAM"), Log("refused stream")],
        BreakKind::GoAway => &[Log("GOAWAY")],
        BreakKind::StreamError => &[Log("stream error")],
        _ => &[],
    }
}
