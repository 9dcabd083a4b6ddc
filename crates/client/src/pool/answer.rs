//! The body of an answer, which holds its connection until it has been read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use mainstay_core::{Break, BreakKind, Certainty};

use super::ahead::{Ahead, Enough};
use super::classify::in_body;
use super::multi::Received;
use super::{Connection, Target};
use crate::body::Share;
use crate::trailers;

/// The body of an answer. Its errors are breaks of the body phase.
///
/// Read to its end, the connection goes back to the pool; dropped before, the connection is closed, or the
/// stream reset.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Incoming,
    held: Option<Held>,
    /// What was read before anybody asked for it.
    ahead: Ahead,
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
        Self { incoming: Incoming::Whole(bytes), held: None, ahead: Ahead::NONE }
    }

    pub(super) fn new(incoming: Incoming, held: Option<Held>) -> Self {
        let mut body = Self { incoming, held, ahead: Ahead::NONE };
        // Whoever sees that there is no body doesn't ask for one.
        body.note_end();
        body
    }

    /// Reads ahead until `enough` is here. What was read is given later, as if it came then.
    pub(crate) fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        enough: &mut Enough,
    ) -> Poll<Result<(), AnswerError>> {
        loop {
            // Over HTTP/2 the end may be a frame of its own, behind all that was announced. It is of interest where it tells the
            // outcome.
            let is_over = match enough {
                Enough::FirstMessage => self.incoming.is_end_stream(),
                Enough::FirstByte | Enough::FirstEvent(..) | Enough::Whole => self.is_here(),
            };
            if is_over {
                return Poll::Ready(Ok(()));
            }
            let Some(frame) = ready!(self.poll_incoming(cx)).transpose()? else {
                return Poll::Ready(Ok(()));
            };
            let is_enough = enough.is_reached_by(&frame);
            self.ahead.push(frame);
            if is_enough {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The next frame that nobody has read ahead.
    fn poll_incoming(
        &mut self,
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

    /// Whether all of it is here: nothing more can break.
    pub(crate) fn is_here(&self) -> bool {
        self.incoming.is_end_stream() || self.incoming.size_hint().exact() == Some(0)
    }

    /// The trailers, if they were read ahead and nothing came before them.
    pub(crate) fn trailers_ahead(&self) -> Option<&HeaderMap> {
        self.ahead.first_trailers()
    }

    /// Counts what is read ahead against the memory for that.
    pub(crate) fn pay_ahead(&mut self, share: Share) {
        self.ahead.pay(share);
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
        let frame = match self {
            Self::Single(body) => Pin::new(body).poll_frame(cx).map_err(|error| in_body(&error)),
            Self::Stream(body) => body.poll_frame(cx),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        };
        frame.map_ok(|frame| match frame.into_trailers() {
            Ok(fields) => Frame::trailers(trailers::cleaned(fields)),
            Err(frame) => frame,
        })
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
        match self.ahead.pop() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_incoming(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.ahead.added_to(self.incoming.size_hint())
    }
}

impl std::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the answer's body broke: {}", self.what.kind.code())
    }
}

impl std::error::Error for AnswerError {}
