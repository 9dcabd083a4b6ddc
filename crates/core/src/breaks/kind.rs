//! The closed set of break kinds, and what is fixed for each: code, phase, RFC 9209 error type, status, and how far a
//! request may have got.

use super::Certainty;

/// What an attempt was doing when it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Before an attempt could start: our own limits and decisions.
    Admit,
    /// Turning a name into addresses.
    Resolve,
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// A kept connection, before the request was on its way.
    Idle,
    /// Sending the request.
    Send,
    /// Waiting for the head of the answer.
    Wait,
    /// Receiving the body of the answer.
    Body,
}

impl Phase {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Idle => "idle",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Body => "body",
        }
    }
}

/// What broke. The set is closed: whoever matches on it must handle every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BreakKind {
    /// The resolver says that there is no such name (NXDOMAIN).
    NameNotFound,
    /// The name exists but has no address of a usable family.
    NoAddress,
    /// No resolver answered in time.
    ResolverTimeout,
    /// The resolver answered with a failure (SERVFAIL, REFUSED), or not sensibly.
    ResolverFailure,
    /// The host answered the TCP handshake with a reset.
    ConnectRefused,
    /// The network says that there is no way to the host.
    Unreachable,
    /// The TCP handshake wasn't over in time.
    ConnectTimeout,
    /// The peer's certificate has expired or isn't valid yet.
    CertificateExpired,
    /// The peer's certificate is for another name.
    CertificateWrongName,
    /// The peer's certificate was issued by nobody whom we trust.
    CertificateUnknownIssuer,
    /// The peer's certificate is wrong in another way (revoked, malformed, not for servers).
    CertificateInvalid,
    /// The peer ended the TLS handshake with an alert.
    TlsAlert,
    /// The peer doesn't speak TLS, or not a version or suite that we do.
    TlsProtocol,
    /// The TLS handshake wasn't over in time.
    TlsTimeout,
    /// A kept connection had been closed by the peer as it was taken into use.
    ClosedWhileIdle,
    /// The connection broke while the request was being written.
    WriteFailed,
    /// The peer closed or reset the connection before the head of an answer.
    ResetBeforeHead,
    /// No head arrived within the attempt's timeout.
    ResponseTimeout,
    /// What arrived isn't HTTP.
    MalformedResponse,
    /// The head of the answer is larger than allowed.
    HeadTooLarge,
    /// The connection was reset inside the body.
    BodyReset,
    /// The body ended before its announced end.
    BodyTruncated,
    /// The body stopped coming.
    BodyStalled,
    /// The peer refused the HTTP/2 stream before doing anything (REFUSED_STREAM).
    StreamRefused,
    /// The peer is going away, and our stream is above the last that it will serve (GOAWAY).
    GoAway,
    /// The HTTP/2 stream or connection failed in another way.
    StreamError,
    /// The peer didn't switch protocols as asked.
    UpgradeFailed,
    /// An answer that says that the server couldn't do it.
    ServerError,
    /// An answer that asks us to slow down: 429, or 503 with `Retry-After`.
    Throttled,
    /// An answer that says that nothing was done: 421, 425.
    RefusedStatus,
    /// Our own: the breaker of each endpoint that could be asked is open.
    BreakerOpen,
    /// Our own: the budget for extra attempts is empty.
    BudgetEmpty,
    /// Our own: no endpoint is left to ask.
    NoEndpoint,
    /// Our own: a limit (connections, memory, waiting calls) is reached.
    LimitReached,
    /// Our own: the deadline of the whole call has passed.
    DeadlineExceeded,
    /// The application went away before its answer was complete.
    ClientGone,
}

impl BreakKind {
    /// Every kind, in the order of the phases.
    pub const ALL: [Self; 36] = [
        Self::NameNotFound,
        Self::NoAddress,
        Self::ResolverTimeout,
        Self::ResolverFailure,
        Self::ConnectRefused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::CertificateExpired,
        Self::CertificateWrongName,
        Self::CertificateUnknownIssuer,
        Self::CertificateInvalid,
        Self::TlsAlert,
        Self::TlsProtocol,
        Self::TlsTimeout,
        Self::ClosedWhileIdle,
        Self::WriteFailed,
        Self::ResetBeforeHead,
        Self::ResponseTimeout,
        Self::MalformedResponse,
        Self::HeadTooLarge,
        Self::BodyReset,
        Self::BodyTruncated,
        Self::BodyStalled,
        Self::StreamRefused,
        Self::GoAway,
        Self::StreamError,
        Self::UpgradeFailed,
        Self::ServerError,
        Self::Throttled,
        Self::RefusedStatus,
        Self::BreakerOpen,
        Self::BudgetEmpty,
        Self::NoEndpoint,
        Self::LimitReached,
        Self::DeadlineExceeded,
        Self::ClientGone,
    ];

    /// The stable code: in problem documents, metrics, logs and the manual. It never changes its meaning.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// The phase in which it happens.
    #[must_use]
    pub const fn phase(self) -> Phase {
        self.row().1
    }

    /// The error type of RFC 9209 (section 2.3) that says the same.
    ///
    /// The standard has no types for our own decisions; they are a destination that can't be used now
    /// (`destination_unavailable`) or a limit, and the code goes into `details`.
    #[must_use]
    pub const fn proxy_error(self) -> &'static str {
        self.row().2
    }

    /// The status of the answer that Mainstay itself gives when this is the end of a call.
    #[must_use]
    pub const fn answer_status(self) -> u16 {
        self.row().3
    }

    /// Whether it says something about the endpoint. Our own decisions and the application's leaving do not.
    #[must_use]
    pub const fn blames_endpoint(self) -> bool {
        !matches!(self.phase(), Phase::Admit)
    }

    /// How far the request of an attempt may have got that broke in this way, the best case first.
    ///
    /// Which of them it was is a matter of evidence, attempt by attempt. A budget that is empty breaks no attempt: it is a reason to
    /// make no further one, so there is none for it.
    #[must_use]
    pub const fn certainties(self) -> &'static [Certainty] {
        use Certainty::{MaybeProcessed, NotSent, Processed, Refused};
        match self {
            Self::NameNotFound
            | Self::NoAddress
            | Self::ResolverTimeout
            | Self::ResolverFailure
            | Self::ConnectRefused
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::CertificateExpired
            | Self::CertificateWrongName
            | Self::CertificateUnknownIssuer
            | Self::CertificateInvalid
            | Self::TlsProtocol
            | Self::TlsTimeout
            | Self::BreakerOpen
            | Self::NoEndpoint
            | Self::LimitReached => &[NotSent],
            // In TLS 1.3 a server may judge our certificate when the request is on its way already.
            Self::TlsAlert
            | Self::ClosedWhileIdle
            | Self::WriteFailed
            | Self::ResetBeforeHead
            | Self::ResponseTimeout
            | Self::StreamError
            | Self::DeadlineExceeded
            | Self::ClientGone => &[NotSent, MaybeProcessed],
            Self::StreamRefused | Self::GoAway | Self::RefusedStatus => &[Refused],
            // A gRPC status that throttles leaves open what was done before it.
            Self::Throttled => &[Refused, MaybeProcessed],
            Self::MalformedResponse
            | Self::HeadTooLarge
            | Self::UpgradeFailed
            | Self::ServerError => &[MaybeProcessed],
            Self::BodyReset | Self::BodyTruncated | Self::BodyStalled => &[Processed],
            Self::BudgetEmpty => &[],
        }
    }

    /// The kind with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    #[rustfmt::skip]
    const fn row(self) -> (&'static str, Phase, &'static str, u16) {
        use Phase::{Admit, Body, Connect, Idle, Resolve, Send, Tls, Wait};
        match self {
            Self::NameNotFound => ("name-not-found", Resolve, "dns_error", 502),
            Self::NoAddress => ("no-address", Resolve, "dns_error", 502),
            Self::ResolverTimeout => ("resolver-timeout", Resolve, "dns_timeout", 504),
            Self::ResolverFailure => ("resolver-failure", Resolve, "dns_error", 502),
            Self::ConnectRefused => ("connect-refused", Connect, "connection_refused", 502),
            Self::Unreachable => ("unreachable", Connect, "destination_ip_unroutable", 502),
            Self::ConnectTimeout => ("connect-timeout", Connect, "connection_timeout", 504),
            Self::CertificateExpired => ("certificate-expired", Tls, "tls_certificate_error", 502),
            Self::CertificateWrongName => ("certificate-wrong-name", Tls, "tls_certificate_error", 502),
            Self::CertificateUnknownIssuer => ("certificate-unknown-issuer", Tls, "tls_certificate_error", 502),
            Self::CertificateInvalid => ("certificate-invalid", Tls, "tls_certificate_error", 502),
            Self::TlsAlert => ("tls-alert", Tls, "tls_alert_received", 502),
            Self::TlsProtocol => ("tls-protocol", Tls, "tls_protocol_error", 502),
            Self::TlsTimeout => ("tls-timeout", Tls, "connection_timeout", 504),
            Self::ClosedWhileIdle => ("closed-while-idle", Idle, "connection_terminated", 502),
            Self::WriteFailed => ("write-failed", Send, "connection_terminated", 502),
            Self::ResetBeforeHead => ("reset-before-head", Wait, "connection_terminated", 502),
            Self::ResponseTimeout => ("response-timeout", Wait, "http_response_timeout", 504),
            Self::MalformedResponse => ("malformed-response", Wait, "http_protocol_error", 502),
            Self::HeadTooLarge => ("head-too-large", Wait, "http_response_header_section_size", 502),
            Self::BodyReset => ("body-reset", Body, "http_response_incomplete", 502),
            Self::BodyTruncated => ("body-truncated", Body, "http_response_incomplete", 502),
            Self::BodyStalled => ("body-stalled", Body, "connection_read_timeout", 504),
            Self::StreamRefused => ("stream-refused", Send, "http_protocol_error", 502),
            Self::GoAway => ("go-away", Send, "connection_terminated", 502),
            Self::StreamError => ("stream-error", Wait, "http_protocol_error", 502),
            Self::UpgradeFailed => ("upgrade-failed", Wait, "http_upgrade_failed", 502),
            Self::ServerError => ("server-error", Wait, "destination_unavailable", 502),
            Self::Throttled => ("throttled", Wait, "destination_unavailable", 503),
            Self::RefusedStatus => ("refused-status", Wait, "destination_unavailable", 502),
            Self::BreakerOpen => ("breaker-open", Admit, "destination_unavailable", 503),
            Self::BudgetEmpty => ("budget-empty", Admit, "destination_unavailable", 503),
            Self::NoEndpoint => ("no-endpoint", Admit, "destination_unavailable", 503),
            Self::LimitReached => ("limit-reached", Admit, "connection_limit_reached", 503),
            Self::DeadlineExceeded => ("deadline-exceeded", Admit, "http_response_timeout", 504),
            Self::ClientGone => ("client-gone", Admit, "http_request_error", 400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_is_listed_once_and_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = BreakKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), BreakKind::ALL.len());
        for kind in BreakKind::ALL {
            assert_eq!(BreakKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(BreakKind::from_code("no such code"), None);
    }

    #[test]
    fn the_list_is_complete() {
        assert!(BreakKind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
        assert_eq!(BreakKind::ClientGone as usize + 1, BreakKind::ALL.len());
    }

    #[test]
    fn nothing_is_sent_before_a_connection_is_there_and_a_body_comes_only_when_it_was_processed() {
        for kind in BreakKind::ALL {
            let sure = match kind.phase() {
                Phase::Resolve | Phase::Connect => &[Certainty::NotSent][..],
                Phase::Body => &[Certainty::Processed][..],
                _ => continue,
            };
            assert_eq!(kind.certainties(), sure, "{kind:?}");
        }
    }

    #[test]
    fn answers_are_read_with_a_certainty_that_their_kind_may_have() {
        let hints = [None, Some(core::time::Duration::from_secs(1))];
        for (status, hint) in (400..600).flat_map(|status| hints.map(|hint| (status, hint))) {
            let read = crate::Break::of_status(status, hint, &crate::breaks::StatusSet::DEFAULT);
            let fits = read.is_none_or(|what| what.kind.certainties().contains(&what.certainty));
            assert!(fits, "{read:?}");
        }
        for code in 0..=16 {
            let outcome = crate::breaks::grpc::GrpcOutcome {
                code,
                pushback: crate::breaks::grpc::Pushback::Unsaid,
            };
            let read = outcome.broken();
            let fits = read.is_none_or(|what| what.kind.certainties().contains(&what.certainty));
            assert!(fits, "{read:?}");
        }
    }

    #[test]
    fn our_own_answers_are_server_statuses() {
        for kind in BreakKind::ALL {
            assert!(
                matches!(kind.answer_status(), 502..=504) || kind == BreakKind::ClientGone,
                "{kind:?}"
            );
        }
    }
}
