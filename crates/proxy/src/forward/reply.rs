//! The body of what the application gets.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mainstay::DeliveredBody;
use mainstay::pool::AnswerError;

use super::access::Line;
use crate::connection::Active;

/// A body, and the call that goes on until it has been sent.
#[derive(Debug)]
pub(crate) struct Reply {
    inner: Inner,
    _active: Option<Active>,
    line: Option<Box<Line>>,
}

/// Where it comes from.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are delivered ones, and a box would cost each of them an allocation"
)]
pub(super) enum Inner {
    Empty,
    Whole(Bytes),
    /// An error of this one goes up to hyper, which breaks the connection or resets the stream: what broke in the
    /// middle mustn't look complete.
    Delivered(DeliveredBody),
    /// The protocol is another now; the call goes on in its tunnel.
    Upgraded,
}

impl Reply {
    pub(super) fn new(inner: Inner, active: Active, line: Option<Box<Line>>) -> Self {
        let active = (!matches!(inner, Inner::Upgraded)).then_some(active);
        Self { inner, _active: active, line }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let polled = match &mut self.inner {
            Inner::Empty | Inner::Upgraded => Poll::Ready(None),
            Inner::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.inner = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Delivered(body) => Pin::new(body).poll_frame(cx),
        };
        if let (Some(line), Poll::Ready(Some(Ok(frame)))) = (&mut self.line, &polled) {
            line.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty | Inner::Upgraded => true,
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Delivered(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty | Inner::Upgraded => SizeHint::with_exact(0),
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Delivered(body) => body.size_hint(),
        }
    }
}
