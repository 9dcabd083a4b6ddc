//! Reads hyper's errors into breaks: the one place where foreign errors of an exchange are looked into.
//!
//! The certainty rests on facts, not on the error's name. `not-sent` needs a proof: hyper hands the request back
//! untouched, or the connection ended in a failed write and its count of written bytes hasn't moved. An unmoved
//! count alone proves nothing, since hyper may still flush its buffer after it has reported an error.

use std::error::Error;
use std::io;

use mainstay_core::{Break, BreakKind, Certainty};

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
}

/// The break of an HTTP/1.1 exchange that ended without a head.
pub(super) fn before_head(error: &hyper::Error, facts: &Facts) -> Broken {
    Broken {
        what: Break::new(kind(error, facts), certainty(error, facts)),
        details: Some(describe(error)),
    }
}

fn certainty(error: &hyper::Error, facts: &Facts) -> Certainty {
    // hyper's errors of "user" origin are those of the request's body and of a dropped task: nothing is written
    // after them.
    let over = facts.write_failed || error.is_user();
    if facts.handed_back || (over && !facts.written) {
        Certainty::NotSent
    } else {
        Certainty::MaybeProcessed
    }
}

fn kind(error: &hyper::Error, facts: &Facts) -> BreakKind {
    let silent_end = !facts.read && !error.is_parse();
    if find::<BodyError>(error).is_some() {
        BreakKind::ClientGone
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
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
