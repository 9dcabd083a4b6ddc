//! Bodies on their way through the layer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mainstay_core::BreakKind;

use super::KeptBody;
use crate::body::{BodyError, Outgoing};
use crate::driver::grpc;
use crate::library::drive::Drive;

/// The body of one attempt's request: the program's own, byte by byte.
#[derive(Debug, Default)]
pub struct AttemptBody(pub(super) Outgoing);

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

pin_project_lite::pin_project! {
    /// The body of an answer. The call ends with it, and its place among those in flight is free then, or when it is dropped.
    pub struct LayerBody<B> {
        #[pin]
        inner: KeptBody<B>,
        drive: Option<Box<Drive>>,
        // Whether the call's outcome is still to come, in trailers.
        awaits_outcome: bool,
    }
}

impl<B: Body> LayerBody<B> {
    pub(super) fn new(inner: KeptBody<B>, drive: Box<Drive>, awaits_outcome: bool) -> Self {
        let is_over = inner.is_end_stream() && !awaits_outcome;
        let mut drive = Some(drive);
        if is_over {
            end(&mut drive, None);
        }
        Self { inner, drive, awaits_outcome }
    }
}

fn end(drive: &mut Option<Box<Drive>>, broke: Option<BreakKind>) {
    if let Some(mut drive) = drive.take() {
        drive.end(broke);
    }
}

impl<B: Body> Body for LayerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            None => {
                let broke = if *this.awaits_outcome { grpc::ended(None) } else { None };
                end(this.drive, broke);
            }
            Some(Err(_)) => end(this.drive, Some(BreakKind::BodyReset)),
            Some(Ok(frame)) => {
                if let (true, Some(trailers)) = (*this.awaits_outcome, frame.trailers_ref()) {
                    end(this.drive, grpc::ended(Some(trailers)));
                } else if this.inner.is_end_stream() && !*this.awaits_outcome {
                    end(this.drive, None);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for LayerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBody").finish_non_exhaustive()
    }
}
