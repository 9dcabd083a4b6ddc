//! The body of an answer that comes as a stream of HTTP/2.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use mainstay_core::BreakKind;
use tokio::task::AbortHandle;

use super::line::Line;
use crate::pool::classify::in_body_of_stream;

/// An answer's body. What is read makes room in the peer's windows. Dropped before its end, it resets the stream.
#[derive(Debug)]
pub(in crate::pool) struct Received {
    stream: RecvStream,
    /// Bytes that are still to come, where that was announced.
    left_bytes: Option<u64>,
    data_ended: bool,
    line: Arc<Line>,
    /// The task that still sends the request's body.
    upload: Option<AbortHandle>,
}

impl Received {
    pub(super) fn new(
        stream: RecvStream,
        fields: &HeaderMap,
        line: Arc<Line>,
        upload: Option<AbortHandle>,
    ) -> Self {
        let announced = fields
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let left_bytes = announced.or_else(|| stream.is_end_stream().then_some(0));
        Self { stream, left_bytes, data_ended: false, line, upload }
    }

    pub(in crate::pool) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BreakKind>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The stream may have been reset since; its windows don't matter then.
                    self.line.note_heard();
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left_bytes =
                        self.left_bytes.map(|left| left.saturating_sub(data.len() as u64));
                    self.note_end();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broke(&error)))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.note_end();
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(self.broke(&error))),
        })
    }

    fn broke(&self, error: &h2::Error) -> BreakKind {
        in_body_of_stream(error, self.line.is_silent())
    }

    /// A complete answer doesn't end its request: the server may still want to hear the rest.
    fn note_end(&mut self) {
        if self.upload.is_some() && self.stream.is_end_stream() {
            self.upload = None;
        }
    }

    pub(in crate::pool) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(in crate::pool) fn size_hint(&self) -> SizeHint {
        self.left_bytes.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort();
        }
    }
}
