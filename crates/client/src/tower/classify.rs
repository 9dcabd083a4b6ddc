//! Reads the errors of other clients: what broke, and how far the request got.

use std::error::Error as StdError;
use std::io;

use mainstay_core::{Break, BreakKind, Certainty};

use crate::body::BodyError;
use crate::library::Failure;

/// What an error of hyper, hyper-util, h2, or of what is built on them (reqwest, tonic's transport) says, by its causes.
///
/// A connection that couldn't be had is known, and so is a stream that its server refused. Whatever isn't known may have been
/// carried out.
///
/// ```
/// let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// // Without a word of hyper-util that it was a connect, nobody knows of what it is the end.
/// assert_eq!(mainstay::tower::classify(&refused), mainstay::Failure::unknown());
/// ```
#[must_use]
pub fn classify(error: &(dyn StdError + 'static)) -> Failure {
    let is_connect = find::<hyper_util::client::legacy::Error>(error)
        .is_some_and(hyper_util::client::legacy::Error::is_connect);
    if let Some(own) = find::<super::connector::ConnectError>(error) {
        return Failure::broke(own.what);
    }
    if is_connect {
        return Failure::not_sent(connect_kind(find::<io::Error>(error)));
    }
    if let Some(own) = find::<BodyError>(error) {
        return Failure::broke(match own {
            BodyError::Lost => Break::new(BreakKind::WriteFailed, Certainty::MaybeProcessed),
            BodyError::ClientGone
            | BodyError::TooLarge
            | BodyError::Malformed
            | BodyError::Superseded => Break::new(BreakKind::ClientGone, Certainty::MaybeProcessed),
        });
    }
    if let Some(stream) = find::<h2::Error>(error) {
        return of_stream(stream);
    }
    Failure::unknown()
}

fn of_stream(error: &h2::Error) -> Failure {
    let kind = if error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        BreakKind::StreamRefused
    } else if error.is_remote() && error.is_go_away() {
        // h2 gives it to streams above the last that the peer will serve.
        BreakKind::GoAway
    } else {
        let kind = if error.is_io() { BreakKind::ResetBeforeHead } else { BreakKind::StreamError };
        return Failure::broke(Break::new(kind, Certainty::MaybeProcessed));
    };
    Failure::broke(Break::new(kind, Certainty::Refused))
}

fn connect_kind(error: Option<&io::Error>) -> BreakKind {
    match error.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => BreakKind::ConnectRefused,
        Some(io::ErrorKind::TimedOut) => BreakKind::ConnectTimeout,
        Some(_) | None => BreakKind::Unreachable,
    }
}

/// The first error of a type in the chain of causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| {
        // The error within an `io::Error` isn't its source: that one's source is.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        within.map(|within| within as &(dyn StdError + 'static)).or_else(|| (*error).source())
    })
    .find_map(|error| error.downcast_ref())
}
