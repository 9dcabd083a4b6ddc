//! Bodies of requests: read from the application as they are sent, kept while they may have to be sent again.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Where the body of a request comes from.
#[derive(Debug, Default)]
pub enum Source {
    /// There is none.
    #[default]
    Empty,
    /// All of it is here.
    Full(Bytes),
    /// It arrives over a connection.
    Incoming(hyper::body::Incoming),
}

/// Memory for bodies that may have to be sent again, shared by all calls.
#[derive(Debug)]
pub struct ReplayMemory {}

impl ReplayMemory {
    /// So many bytes for all calls together.
    #[must_use]
    pub fn new(bytes: usize) -> std::sync::Arc<Self> {
        let _ = bytes;
        std::sync::Arc::new(Self {})
    }
}

/// The body of one attempt's request.
#[derive(Debug, Default)]
pub struct Outgoing {}

/// Why the body of a request can't be sent on.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The application broke off.
    ClientGone,
    /// The application's body is larger than allowed.
    TooLarge,
    /// What the application sent isn't a body by HTTP's rules.
    Malformed,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ClientGone => "the application broke off its request",
            Self::TooLarge => "the request's body is larger than allowed",
            Self::Malformed => "the request's body is malformed",
        })
    }
}

impl std::error::Error for BodyError {}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
