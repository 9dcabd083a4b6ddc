//! What is provoked, how, and what comes of it.

/// One break.
pub(crate) struct Row {
    /// The break's code.
    pub(crate) code: &'static str,
    /// What was done to provoke it, for people: a fault of the lab, with what else is needed.
    pub(crate) fault: &'static str,
    /// What the server in the lab is.
    server: &'static str,
    /// What is added to the config.
    pub(crate) config: &'static str,
    /// Whether the endpoint is named, not numbered.
    pub(crate) named: bool,
    pub(crate) exit: i32,
}

const PLAIN: &str = "";
const TLS: &str = "tls = true";
const H2: &str = "h2 = true";

const fn row(
    code: &'static str,
    fault: &'static str,
    server: &'static str,
    config: &'static str,
    exit: i32,
) -> Row {
    Row { code, fault, server, config, named: false, exit }
}

const fn name(code: &'static str, fault: &'static str) -> Row {
    let config = "connect.resolve_timeout = \"500ms\"\n";
    Row { code, fault, server: PLAIN, config, named: true, exit: 10 }
}

pub(crate) const ROWS: [Row; 24] = [
    name("name-not-found", "dns-nxdomain"),
    name("no-address", "dns-nodata"),
    name("resolver-timeout", "dns-timeout"),
    name("resolver-failure", "dns-servfail"),
    name("resolver-failure", "dns-refused"),
    row("connect-refused", "refuse", PLAIN, "", 11),
    row("connect-timeout", "blackhole", PLAIN, "connect.timeout = \"500ms\"\n", 11),
    row("certificate-expired", "tls-expired", TLS, "", 12),
    row("certificate-wrong-name", "tls-wrong-name", TLS, "", 12),
    row("certificate-unknown-issuer", "tls-self-signed", TLS, "", 12),
    row("tls-alert", "tls-alert", TLS, "", 12),
    row("tls-protocol", "tls-old-protocol", TLS, "", 12),
    row("tls-timeout", "tls-stalled", TLS, "connect.tls_timeout = \"500ms\"\n", 12),
    row("reset-before-head", "reset-before", PLAIN, "", 13),
    row("reset-before-head", "close-before", PLAIN, "", 13),
    row("response-timeout", "hang", PLAIN, "", 13),
    row("malformed-response", "garbage", PLAIN, "", 13),
    row("stream-refused", "h2-refuse-stream", H2, "connect.http2 = \"always\"\n", 13),
    row("go-away", "h2-goaway", H2, "connect.http2 = \"always\"\n", 13),
    row("server-error", "status code=500", PLAIN, "", 13),
    row("throttled", "throttle", PLAIN, "", 13),
    row("body-reset", "reset-in-body", PLAIN, "", 14),
    row("body-truncated", "truncate", PLAIN, "", 14),
    row("body-stalled", "stall", PLAIN, "", 14),
];

impl Row {
    /// The lab file.
    pub(crate) fn lab(&self) -> String {
        let server = format!("[[server]]\nname = \"a\"\n{}\n", self.server);
        let names = "[dns]\n[[dns.name]]\nname = \"api.lab\"\na = [\"127.0.0.1\"]\n";
        if self.named { format!("{server}{names}") } else { server }
    }

    /// Whose the fault is.
    pub(crate) fn whose(&self) -> &'static str {
        if self.named { "api.lab" } else { "a" }
    }

    /// The endpoint, given the server's port.
    pub(crate) fn endpoint(&self, port: u16) -> String {
        let scheme = if self.server == TLS { "https" } else { "http" };
        let host = if self.named { "api.lab" } else { "127.0.0.1" };
        format!("{scheme}://{host}:{port}")
    }
}
