//! Reads hyper's errors into breaks: the one place where foreign errors of an exchange are looked into.
//!
//! The certainty rests on facts, not on the error's name. `not-sent` needs a proof: hyper hands the request back
//! untouched; or the connection ended in a failed write and its count of written bytes hasn't moved; or the peer had
//! ended its stream before it acknowledged any of the request ([`mainstay_core::breaks::evidence`]). An unmoved count alone proves
//! nothing, since hyper may still flush its buffer after it has reported an error.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use mainstay_core::breaks::evidence::{Crossing, Proof};
use mainstay_core::{BreakKind, Certainty};

use super::Broken;
use crate::body::BodyError;

/// What is known about an exchange that ended without a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The request came back untouched.
    pub(super) handed_back: bool,
    /// The connection had carried an exchange before.
    pub(super) reused: bool,
    /// Bytes were written since the exchange began.
    pub(super) written: bool,
    /// A write failed.
    pub(super) write_failed: bool,
    /// Bytes were read since the exchange began.
    pub(super) read: bool,
    /// How the connection ended under the request.
    pub(super) crossing: Crossing,
}

/// The break of an HTTP/1.1 exchange that ended without a head.
pub(super) fn before_head(error: &hyper::Error, facts: &Facts) -> Broken {
    let (certainty, evidence) = certainty(error, facts);
    let broken = Broken::new(kind(error, facts), certainty).details(describe(error));
    Broken { evidence: Some(evidence), ..broken }
}

/// How far the request got, and what speaks for it.
fn certainty(error: &hyper::Error, facts: &Facts) -> (Certainty, Cow<'static, str>) {
    // hyper's errors of "user" origin are those of the request's body and of a dropped task: nothing is written
    // after them.
    let over = facts.write_failed || error.is_user();
    if facts.handed_back {
        return (Certainty::NotSent, "the request wasn't begun".into());
    }
    if over && !facts.written {
        return (Certainty::NotSent, "no byte of the request left this host".into());
    }
    judged(&facts.crossing)
}

/// What the way in which a connection ended proves of a request that had been written.
fn judged(crossing: &Crossing) -> (Certainty, Cow<'static, str>) {
    let proof = crossing.proof();
    let evidence = match proof {
        Proof::EndedBefore => "the peer had ended its stream before it acknowledged any of the request (TCP_INFO)".into(),
        Proof::Received(bytes) => format!("the peer had acknowledged {bytes} bytes of the request when it ended its stream (TCP_INFO)").into(),
        Proof::None if crossing.acked_at_end.is_some() => "something was read before the connection ended".into(),
        Proof::None => "no end of the peer's stream was seen, or the system doesn't say what was acknowledged: a reset alone proves nothing".into(),
    };
    (proof.certainty(), evidence)
}

fn kind(error: &hyper::Error, facts: &Facts) -> BreakKind {
    let silent_end = !facts.read && !error.is_parse();
    if let Some(error) = find::<BodyError>(error) {
        kind_of_own_body(*error)
    } else if !facts.read && find::<rustls::Error>(error).is_some_and(is_alert) {
        // In TLS 1.3 the peer judges our certificate after our side of the handshake is done.
        BreakKind::TlsAlert
    } else if facts.reused && (facts.handed_back || silent_end) {
        BreakKind::ClosedWhileIdle
    } else if error.is_parse_too_large() {
        BreakKind::HeadTooLarge
    } else if error.is_parse() {
        BreakKind::MalformedResponse
    } else if facts.write_failed {
        BreakKind::WriteFailed
    } else {
        BreakKind::ResetBeforeHead
    }
}

/// How an HTTP/2 connection stood when one of its streams ended without a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamFacts {
    /// The connection had carried an exchange before.
    pub(super) reused: bool,
    /// The connection was given up because a PING wasn't answered.
    pub(super) silent: bool,
    /// The connection is over, and has written nothing since the exchange began.
    pub(super) untouched: bool,
    /// How the connection ended under the request. What other streams heard meanwhile is no answer to this one.
    pub(super) crossing: Crossing,
}

/// The break of an HTTP/2 exchange that couldn't begin: the connection takes nothing new.
pub(super) fn not_begun(reused: bool, details: impl Into<String>) -> Broken {
    let kind = if reused { BreakKind::ClosedWhileIdle } else { BreakKind::ResetBeforeHead };
    let evidence = Some("the request wasn't begun".into());
    Broken { evidence, ..Broken::new(kind, Certainty::NotSent).details(details) }
}

/// The break of an HTTP/2 exchange that ended without a head.
pub(super) fn before_head_of_stream(error: &h2::Error, facts: &StreamFacts) -> Broken {
    let (kind, certainty, evidence) = of_stream(error, facts);
    Broken { evidence, ..Broken::new(kind, certainty).details(describe(error)) }
}

/// The break of an HTTP/2 exchange whose own body broke at its source.
pub(super) fn request_body_failed(error: BodyError) -> Broken {
    Broken::new(kind_of_own_body(error), Certainty::MaybeProcessed).details(error.to_string())
}

/// What is lost is no fault of the application.
const fn kind_of_own_body(error: BodyError) -> BreakKind {
    match error {
        BodyError::Lost => BreakKind::WriteFailed,
        BodyError::ClientGone
        | BodyError::TooLarge
        | BodyError::Malformed
        | BodyError::Superseded => BreakKind::ClientGone,
    }
}

fn of_stream(
    error: &h2::Error,
    facts: &StreamFacts,
) -> (BreakKind, Certainty, Option<Cow<'static, str>>) {
    if error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        (BreakKind::StreamRefused, Certainty::Refused, None)
    } else if error.is_remote() && error.is_go_away() {
        // h2 gives this error to streams above the last that the peer will serve. Streams below go on (RFC 9113,
        // section 6.8).
        (BreakKind::GoAway, Certainty::Refused, None)
    } else if error.is_io() {
        let (certainty, evidence) = if facts.untouched {
            (Certainty::NotSent, "no byte of the request left this host".into())
        } else {
            judged(&facts.crossing)
        };
        if facts.reused && certainty == Certainty::NotSent {
            (BreakKind::ClosedWhileIdle, certainty, Some(evidence))
        } else if facts.silent {
            let evidence = "while it waited, nothing came and a PING wasn't answered in time";
            (BreakKind::StreamError, certainty, Some(evidence.into()))
        } else {
            (BreakKind::ResetBeforeHead, certainty, Some(evidence))
        }
    } else {
        (BreakKind::StreamError, Certainty::MaybeProcessed, None)
    }
}

/// The kind of a break in the body of an answer over HTTP/2. Whatever ends a stream before its own end leaves the
/// answer incomplete, whichever reason the peer gives: RST_STREAM with NO_ERROR or CANCEL too.
pub(super) fn in_body_of_stream(error: &h2::Error, silent: bool) -> BreakKind {
    if silent && error.is_io() { BreakKind::BodyStalled } else { BreakKind::BodyReset }
}

/// The kind of a break in the body of an answer.
pub(super) fn in_body(error: &hyper::Error) -> BreakKind {
    let io = find::<io::Error>(error).map(io::Error::kind);
    match io {
        // The end came too early, or what came isn't what a chunk begins with: either way the body isn't whole.
        Some(
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput,
        ) => BreakKind::BodyTruncated,
        _ if error.is_incomplete_message() => BreakKind::BodyTruncated,
        _ => BreakKind::BodyReset,
    }
}

/// The first error of a type in the chain of causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error with its causes, for the record.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        // The error within an `io::Error` isn't its source: that one's source is.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        within.map(|within| within as &(dyn Error + 'static)).or_else(|| (*error).source())
    })
}

fn is_alert(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::AlertReceived(_))
}
