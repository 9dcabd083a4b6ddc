//! The body of an answer, which holds its connection until it has been read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mainstay_core::{Break, BreakKind, Certainty};

use super::classify::in_body;
use super::multi::Received;
use super::{Connection, Target};

/// The body of an answer. Its errors are breaks of the body phase.
///
/// Read to its end, the connection goes back to the pool; dropped before, the connection is closed, or the
/// stream reset.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Incoming,
    held: Option<Held>,
}

/// Where the body comes from.
#[derive(Debug)]
pub(super) enum Incoming {
    /// An HTTP/1.1 connection.
    Single(hyper::body::Incoming),
    /// A stream of HTTP/2.
    Stream(Received),
    /// No connection: it is all here.
    Whole(Bytes),
}

/// A connection and where it belongs.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: Connection,
    pub(super) home: Option<Arc<Target>>,
}

/// A break in the body of an answer.
#[derive(Debug)]
pub struct AnswerError {
    /// What broke: a kind of the body phase.
    pub what: Break,
}

impl AnswerBody {
    /// A body that comes from no connection.
    pub(crate) const fn whole(bytes: Bytes) -> Self {
        Self { incoming: Incoming::Whole(bytes), held: None }
    }

    pub(super) fn new(incoming: Incoming, held: Option<Held>) -> Self {
        let mut body = Self { incoming, held };
        // Whoever sees that there is no body doesn't ask for one.
        body.note_end();
        body
    }

    fn note_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(Held { connection, home: Some(home) }) = self.held.take() {
            home.give_back(connection);
        }
    }
}

impl Incoming {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BreakKind>>> {
        match self {
            Self::Single(body) => Pin::new(body).poll_frame(cx).map_err(|error| in_body(&error)),
            Self::Stream(body) => body.poll_frame(cx),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Single(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Single(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        Poll::Ready(match ready!(self.incoming.poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.note_end();
                Some(Ok(frame))
            }
            Some(Err(kind)) => {
                self.held = None;
                let what = Break::new(kind, Certainty::Processed);
                Some(Err(AnswerError { what }))
            }
            None => {
                self.give_back();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl std::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the answer's body broke: {}", self.what.kind.code())
    }
}

impl std::error::Error for AnswerError {}
