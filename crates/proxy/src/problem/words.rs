//! The words for each break kind, for people who read a problem document.

use mainstay_core::{BreakKind, Certainty, Phase};

/// A short title, the same for each occurrence.
pub(super) const fn title(kind: BreakKind) -> &'static str {
    row(kind).0
}

/// What happened, without a full stop.
pub(super) const fn sentence(kind: BreakKind) -> &'static str {
    row(kind).1
}

/// Whether the request was carried out. The break is that of the last attempt, the certainty the worst of all.
pub(super) const fn outcome(kind: BreakKind, certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::MaybeProcessed if never_sends(kind) => {
            "An earlier attempt was sent, and whether it was carried out is unknown."
        }
        Certainty::NotSent => "The request was not sent, so nothing was done.",
        Certainty::Refused => "The upstream says that it did nothing.",
        Certainty::MaybeProcessed => {
            "The request was sent, and whether it was carried out is unknown."
        }
        Certainty::Processed => "The request was carried out, but its answer was lost.",
    }
}

/// Whether an attempt that ends so has sent nothing.
const fn never_sends(kind: BreakKind) -> bool {
    matches!(kind.phase(), Phase::Resolve | Phase::Connect | Phase::Tls)
        || matches!(kind, BreakKind::BreakerOpen | BreakKind::NoEndpoint | BreakKind::LimitReached)
}

#[rustfmt::skip]
const fn row(kind: BreakKind) -> (&'static str, &'static str) {
    match kind {
        BreakKind::NameNotFound => ("Name not found", "The upstream's host name doesn't exist"),
        BreakKind::NoAddress => ("No address", "The upstream's host name has no usable address"),
        BreakKind::ResolverTimeout => ("Resolver timeout", "No name server answered in time"),
        BreakKind::ResolverFailure => ("Resolver failure", "The name servers couldn't resolve the upstream's host name"),
        BreakKind::ConnectRefused => ("Connection refused", "The upstream's host refused the connection"),
        BreakKind::Unreachable => ("Host unreachable", "There is no way through the network to the upstream's host"),
        BreakKind::ConnectTimeout => ("Connect timeout", "The upstream's host didn't answer the attempt to connect in time"),
        BreakKind::CertificateExpired => ("Certificate expired", "The upstream's certificate has expired or isn't valid yet"),
        BreakKind::CertificateWrongName => ("Certificate for another name", "The upstream's certificate is for another host name"),
        BreakKind::CertificateUnknownIssuer => ("Certificate of an unknown issuer", "The upstream's certificate was issued by an authority that isn't trusted here"),
        BreakKind::CertificateInvalid => ("Certificate invalid", "The upstream's certificate can't be accepted"),
        BreakKind::TlsAlert => ("TLS alert", "The upstream broke off the TLS handshake"),
        BreakKind::TlsProtocol => ("TLS protocol error", "The upstream doesn't speak TLS in a way that can be used"),
        BreakKind::TlsTimeout => ("TLS timeout", "The TLS handshake with the upstream wasn't over in time"),
        BreakKind::ClosedWhileIdle => ("Closed while idle", "The upstream closed a kept connection just as it was taken into use"),
        BreakKind::WriteFailed => ("Write failed", "The connection broke while the request was being sent"),
        BreakKind::ResetBeforeHead => ("Reset before the answer", "The upstream closed the connection before it answered"),
        BreakKind::ResponseTimeout => ("Response timeout", "The upstream didn't answer in time"),
        BreakKind::MalformedResponse => ("Malformed answer", "What the upstream sent isn't HTTP"),
        BreakKind::HeadTooLarge => ("Answer's head too large", "The head of the upstream's answer is larger than allowed"),
        BreakKind::BodyReset => ("Reset inside the body", "The upstream reset the connection inside the answer's body"),
        BreakKind::BodyTruncated => ("Body cut short", "The answer's body ended before its announced end"),
        BreakKind::BodyStalled => ("Body stalled", "The answer's body stopped coming"),
        BreakKind::StreamRefused => ("Stream refused", "The upstream refused the HTTP/2 stream"),
        BreakKind::GoAway => ("Upstream going away", "The upstream is closing its HTTP/2 connection"),
        BreakKind::StreamError => ("Stream error", "The HTTP/2 stream to the upstream failed"),
        BreakKind::UpgradeFailed => ("Upgrade failed", "The upstream didn't switch protocols as asked"),
        BreakKind::ServerError => ("Server error", "The upstream says that it failed"),
        BreakKind::Throttled => ("Throttled", "The upstream asks for fewer requests"),
        BreakKind::RefusedStatus => ("Turned away", "The upstream says that this request wasn't for it, or came too early"),
        BreakKind::BreakerOpen => ("Breaker open", "The upstream has been failing and is given time to recover"),
        BreakKind::BudgetEmpty => ("Retry budget empty", "The attempt broke, and the budget for further attempts is used up"),
        BreakKind::NoEndpoint => ("No endpoint", "No endpoint of the upstream can be asked now"),
        BreakKind::LimitReached => ("Limit reached", "A limit on connections or memory is reached"),
        BreakKind::DeadlineExceeded => ("Deadline exceeded", "The time for the whole call is over"),
        BreakKind::ClientGone => ("Application gone", "The application broke off its request"),
    }
}
