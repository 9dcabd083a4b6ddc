//! From a break to words: which layer it is in, what the peer did, what it is most likely from, what to try.

use mainstay_core::BreakKind;
use mainstay_core::breaks::Phase;
use serde::Serialize;

/// What broke, and what to make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The break's code: a heading of the manual's page on breaks.
    pub code: &'static str,
    /// The step in which it broke.
    pub step: &'static str,
    /// DNS, network, host, TLS, HTTP or application.
    pub layer: &'static str,
    /// What the peer did.
    pub peer: &'static str,
    /// What the error said, if it said something.
    pub detail: Option<String>,
    /// What it is most likely from, likeliest first.
    pub causes: &'static [&'static str],
    /// What to try, in the same order.
    pub try_next: &'static [&'static str],
    /// Where the manual says more.
    pub manual: String,
}

/// The class of an outcome, which is the exit code of `mainstay diagnose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing broke.
    Fine,
    /// The name gave no address.
    Resolve,
    /// No address took a connection.
    Connect,
    /// TLS couldn't be agreed on.
    Tls,
    /// No whole and good head came.
    Http,
    /// The body broke.
    Body,
}

impl Class {
    /// The exit code. 1 and 2 are those of every command: it didn't work, or was asked wrongly.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Resolve => 10,
            Self::Connect => 11,
            Self::Tls => 12,
            Self::Http => 13,
            Self::Body => 14,
        }
    }

    /// The class of a break.
    #[must_use]
    pub const fn of(kind: BreakKind) -> Self {
        match kind.phase() {
            Phase::Resolve => Self::Resolve,
            Phase::Admit | Phase::Connect => Self::Connect,
            Phase::Tls => Self::Tls,
            Phase::Idle | Phase::Send | Phase::Wait => Self::Http,
            Phase::Body => Self::Body,
        }
    }
}

impl Finding {
    /// What is to be said of a break.
    #[must_use]
    pub fn of(kind: BreakKind, detail: Option<String>) -> Self {
        let Words { layer, peer, causes, try_next } = words(kind);
        let code = kind.code();
        Self {
            code,
            step: kind.phase().code(),
            layer,
            peer,
            detail,
            causes,
            try_next,
            manual: format!("docs/breaks.md#{code}"),
        }
    }
}

struct Words {
    layer: &'static str,
    peer: &'static str,
    causes: &'static [&'static str],
    try_next: &'static [&'static str],
}

const fn say(
    layer: &'static str,
    peer: &'static str,
    causes: &'static [&'static str],
    try_next: &'static [&'static str],
) -> Words {
    Words { layer, peer, causes, try_next }
}

// One table: whoever adds a kind has to find words for it.
#[rustfmt::skip]
const fn words(kind: BreakKind) -> Words {
    use BreakKind as K;
    match kind {
        K::NameNotFound => say("DNS", "the name server says that there is no such name (NXDOMAIN)",
            &["the name is misspelt", "the record was removed, or isn't published yet", "it is known to another name server only (VPN, split DNS)"],
            &["dig NAME, and dig NAME @another-server", "compare /etc/resolv.conf with a host where it works"]),
        K::NoAddress => say("DNS", "the name server knows the name, but no address of it",
            &["only records of another type exist (MX, SRV, TXT)", "the address record was removed"],
            &["dig NAME A; dig NAME AAAA"]),
        K::ResolverTimeout => say("DNS", "no name server answered in time",
            &["the name server is down or can't be reached", "UDP to port 53 is filtered", "the name server waits for another one"],
            &["dig NAME @each server of /etc/resolv.conf", "look for a firewall between here and port 53"]),
        K::ResolverFailure => say("DNS", "the name server answered with a failure (SERVFAIL, REFUSED), or not sensibly",
            &["the zone is broken (DNSSEC, a lame delegation)", "the name server may not answer this host", "the name server itself is ill"],
            &["dig NAME +cd (if that works, it is DNSSEC)", "dig NAME @another-server"]),
        K::ConnectRefused => say("host", "the host answers, and refuses: nothing listens at this port",
            &["the server isn't running, or restarts", "the port is wrong", "it listens at another address only", "a firewall rejects"],
            &["ss -ltn on the host", "check the port in the URL"]),
        K::Unreachable => say("network", "the network says that there is no way there",
            &["no route, or a VPN that is off", "an IPv6 address on a host without IPv6", "a firewall that says so"],
            &["ip route get ADDRESS", "traceroute ADDRESS"]),
        K::ConnectTimeout => say("network", "nobody answers the TCP handshake",
            &["a firewall or security group drops silently", "the host is down, or the address is somebody else's by now", "the server's queue of connects is full"],
            &["the same from another network", "traceroute -T -p PORT ADDRESS", "netstat -s | grep -i listen on the host"]),
        K::CertificateExpired => say("TLS", "the server shows a certificate whose time is over, or hasn't begun",
            &["it wasn't renewed", "it was renewed, and the server wasn't reloaded", "the clock of this host is wrong"],
            &["renew it, or reload the server", "date -u"]),
        K::CertificateWrongName => say("TLS", "the server shows a certificate for another name",
            &["another virtual host answers (default site, wrong SNI)", "the URL has an address or an alias that isn't in the certificate", "DNS points at the wrong server"],
            &["compare the names above with the URL", "set server_name if the name is meant to differ"]),
        K::CertificateUnknownIssuer => say("TLS", "the server shows a certificate that nobody whom we trust has signed",
            &["a private authority", "the server doesn't send its intermediate certificates", "it is self-signed", "a proxy in between intercepts TLS"],
            &["set ca to the authority's certificate", "let the server send the whole chain"]),
        K::CertificateInvalid => say("TLS", "the server shows a certificate that can't be accepted",
            &["it isn't meant for servers", "it is malformed, revoked, or uses something too old"],
            &["openssl x509 -text on the certificate"]),
        K::TlsAlert => say("TLS", "the server broke the handshake off with an alert",
            &["it wants a client's certificate", "no cipher suite or version in common", "it doesn't know the name that was asked for (SNI)"],
            &["set certificate and key if it wants a client's", "openssl s_client -connect HOST:PORT -servername NAME"]),
        K::TlsProtocol => say("TLS", "what came back isn't TLS 1.2 or 1.3, or the connection ended in the handshake",
            &["the port speaks plain HTTP", "the server knows TLS 1.0 and 1.1 only", "a balancer without a healthy server behind it closes"],
            &["the same URL with http://", "openssl s_client -connect HOST:PORT -tls1_2"]),
        K::TlsTimeout => say("TLS", "the server took the connection and never finished the handshake",
            &["it is overloaded or hangs", "the port isn't TLS and waits for more", "a device in between drops large packets (MTU)"],
            &["the same with curl -v", "ping -M do -s 1400 HOST"]),
        K::ClosedWhileIdle => say("HTTP", "the server closed a kept connection as it was used again",
            &["its keep-alive time is shorter than ours"],
            &["set pool.idle_timeout below the server's keep-alive time", "mainstay diagnose --idle-probe"]),
        K::WriteFailed => say("HTTP", "the connection broke while the request was being written",
            &["the server doesn't want a body that large", "it was restarted", "a device in between reset it"],
            &["the server's log at this time"]),
        K::ResetBeforeHead => say("application", "the server took the request and closed or reset without an answer",
            &["the process died or was restarted", "a balancer lost the server behind it", "a limit of time or size of the server"],
            &["the server's log at this time", "memory and restarts of the server"]),
        K::ResponseTimeout => say("application", "the server took the request and didn't answer in time",
            &["it waits for something behind it (a database, another service)", "it is overloaded", "the request takes longer than the timeout"],
            &["what the server does at this time", "--timeout, to see whether it would have answered"]),
        K::MalformedResponse => say("HTTP", "what came back isn't HTTP",
            &["another protocol is spoken at this port", "TLS was expected there", "HTTP/2 where HTTP/1.1 was meant, or the other way round"],
            &["the same URL with https://", "nc HOST PORT, to see what it says"]),
        K::HeadTooLarge => say("HTTP", "the head of the answer is larger than allowed",
            &["too many or too large cookies"], &["look at the answer's header fields with curl -v"]),
        K::BodyReset => say("application", "the server began an answer and reset the connection inside its body",
            &["the process died while it answered", "a timeout of a device in between"], &["the server's log at this time"]),
        K::BodyTruncated => say("application", "the server ended the body before its announced end",
            &["the process died while it answered", "a wrong Content-Length", "a balancer's limit of time"],
            &["compare Content-Length with what came", "the server's log at this time"]),
        K::BodyStalled => say("application", "the server began an answer and stopped in its body",
            &["it waits for something behind it", "a device in between lost the connection's state"],
            &["what the server does at this time"]),
        K::StreamRefused => say("HTTP", "the server refused the HTTP/2 stream before it did anything",
            &["it is overloaded or shutting down", "more streams than it allows"], &["try again; it says that nothing was done"]),
        K::GoAway => say("HTTP", "the server ends the HTTP/2 connection, and doesn't serve this stream",
            &["it is shutting down or being deployed", "a limit of requests or time per connection"], &["try again; it says that nothing was done"]),
        K::StreamError => say("HTTP", "the HTTP/2 stream or connection failed",
            &["a bug or limit of the server", "the peer doesn't speak HTTP/2 at this port"], &["the same over HTTP/1.1 (http2 = \"never\")"]),
        K::UpgradeFailed => say("HTTP", "the server didn't switch protocols as asked",
            &["it doesn't know the protocol", "a proxy in between strips Upgrade"], &["ask the server directly"]),
        K::ServerError => say("application", "the server answered that it failed",
            &["an error in the application", "a gateway that lost what is behind it (502, 503, 504)"], &["the server's log at this time"]),
        K::Throttled => say("application", "the server asks to slow down",
            &["a rate limit"], &["wait as long as Retry-After says", "lower the rate, or ask for a higher limit"]),
        K::RefusedStatus => say("application", "the server says that it did nothing (421, 425)",
            &["the connection belongs to another site of the server"], &["a connection of its own for this name"]),
        K::BreakerOpen | K::BudgetEmpty | K::NoEndpoint | K::LimitReached | K::DeadlineExceeded | K::ClientGone =>
            say("host", "nothing: it is a decision or limit of this side",
            &["too many connections or calls at a time"], &["docs/config.md, on limits"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_break_has_causes_and_something_to_try_and_its_own_place_in_the_manual() {
        let manual = include_str!("../../../../docs/breaks.md");
        for kind in BreakKind::ALL {
            let finding = Finding::of(kind, None);
            assert!(!finding.causes.is_empty() && !finding.try_next.is_empty(), "{kind:?}");
            assert!(manual.contains(&format!("### {}\n", finding.code)), "{kind:?}");
        }
    }

    #[test]
    fn the_exit_code_tells_the_class() {
        let code = |kind| Class::of(kind).exit_code();
        assert_eq!(code(BreakKind::ResolverFailure), 10);
        assert_eq!(code(BreakKind::ConnectRefused), 11);
        assert_eq!(code(BreakKind::TlsTimeout), 12);
        assert_eq!(code(BreakKind::ResponseTimeout), 13);
        assert_eq!(code(BreakKind::BodyTruncated), 14);
    }
}
