//! Bodies of requests: read from the application as they are sent, kept while they may have to be sent again.
//!
//! A [`Source`] is read by one attempt at a time, through an [`Outgoing`]; nothing is read before a connection asks
//! for it. What was read is kept, up to the route's limit and the process's, and a later attempt sends the very
//! same bytes first. Past a limit nothing is kept any more and the call can't be repeated: a replay is
//! byte-identical or doesn't happen.
//!
//! What is kept is in memory first. Where the route allows it, what comes after that goes to an encrypted file
//! (`spill`). Whatever is wrong with the file, a full disk or a byte that changed, costs the repetition and
//! nothing else.

mod gate;
mod kept;
mod outgoing;
mod replay;
mod room;
mod spill;
mod store;
mod stream;

pub use gate::Gate;
pub use outgoing::Outgoing;
pub use replay::{Replay, ReplayLimits};
pub(crate) use room::{Room, Share};
pub use store::{BodyRoom, Store};
pub use stream::BoxedSource;
pub(crate) use stream::SourceError;

use std::fmt;

use bytes::Bytes;

use crate::shown::Length;

/// Where the body of a request comes from.
#[derive(Default)]
pub enum Source {
    /// There is none.
    #[default]
    Empty,
    /// All of it is here.
    Full(Bytes),
    /// It arrives over a connection.
    Incoming(hyper::body::Incoming),
    /// Some of it has been read from a connection, and the rest arrives over it.
    Begun(Bytes, hyper::body::Incoming),
    /// It comes piece by piece from the program itself.
    Stream(BoxedSource),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({:?})", Length(bytes.len())),
            Self::Incoming(_) => f.write_str("Incoming"),
            Self::Begun(bytes, _) => write!(f, "Begun({:?})", Length(bytes.len())),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Why the body of a request can't be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The application broke off.
    ClientGone,
    /// The application's body is larger than allowed.
    TooLarge,
    /// What the application sent isn't a body by HTTP's rules.
    Malformed,
    /// A later attempt has taken the body over.
    Superseded,
    /// What was kept of it in a file can't be read again, or isn't what was written.
    Lost,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientGone => "the application broke off its request",
            Self::TooLarge => "the request's body is larger than allowed",
            Self::Malformed => "the request's body is malformed",
            Self::Superseded => "a later attempt sends the request's body",
            Self::Lost => "what was kept of the request's body can't be read again",
        })
    }
}

impl std::error::Error for BodyError {}
