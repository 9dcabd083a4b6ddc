//! The body of an answer on its way to the application. It ends the call when it ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use mainstay_core::{Break, BreakKind, Certainty};
use tokio::time::{Instant, Sleep};

use super::grpc;
use super::running::Running;
use crate::degrade::Fill;
use crate::pool::{AnswerBody, AnswerError};

/// The body of a delivered answer. Dropped before its end, the application is gone.
#[derive(Debug)]
pub struct DeliveredBody {
    inner: AnswerBody,
    /// The call, until its end has been told.
    running: Option<Box<Running>>,
    idle_timeout: Duration,
    /// Armed by the first wait, and looked at when it ends: a body that comes as one piece needs no timer.
    idle: Option<Pin<Box<Sleep>>>,
    moved_at: Option<Instant>,
    /// Whether anything of the body has been given, or a break held back once.
    begun: bool,
    held_back: Option<AnswerError>,
    /// Whether the call's outcome is still to come, in trailers (gRPC).
    awaits_outcome: bool,
    /// A copy for the case that a later one doesn't come.
    copy: Option<Box<Fill>>,
}

impl DeliveredBody {
    /// `awaits_outcome`: whether the trailers tell how the call ended.
    pub(super) fn new(
        inner: AnswerBody,
        running: Box<Running>,
        idle_timeout: Duration,
        awaits_outcome: bool,
        copy: Option<Box<Fill>>,
    ) -> Self {
        let mut body = Self {
            inner,
            running: Some(running),
            copy,
            idle_timeout,
            idle: None,
            moved_at: None,
            begun: false,
            held_back: None,
            awaits_outcome,
        };
        if body.inner.is_end_stream() {
            body.end_whole(None);
        }
        body
    }

    /// The body of an answer that stands in for another one. Its call is over.
    pub(super) fn standing_in(bytes: Bytes) -> Self {
        Self {
            inner: AnswerBody::whole(bytes),
            running: None,
            copy: None,
            idle_timeout: Duration::ZERO,
            idle: None,
            moved_at: None,
            begun: false,
            held_back: None,
            awaits_outcome: false,
        }
    }

    fn end(&mut self, broke: Option<BreakKind>) {
        // What isn't whole isn't kept.
        if let (Some(copy), None) = (self.copy.take(), broke) {
            copy.finish();
        }
        if let Some(mut running) = self.running.take() {
            running.body_ended(broke);
        }
    }

    /// It came to its end, with these trailers.
    fn end_whole(&mut self, trailers: Option<&HeaderMap>) {
        let broke = if self.awaits_outcome { grpc::ended(trailers) } else { None };
        self.end(broke);
    }

    /// Ready when nothing has come for the idle timeout.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.idle_timeout;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        loop {
            std::task::ready!(idle.as_mut().poll(cx));
            // The timer isn't set again for each piece, but where it ends, for the last one.
            match self.moved_at.map(|at| at + timeout) {
                Some(end) if end > Instant::now() => idle.as_mut().reset(end),
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl Body for DeliveredBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if let Some(error) = self.held_back.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.begun = true;
                if self.idle.is_some() {
                    self.moved_at = Some(Instant::now());
                }
                // What has trailers isn't kept: nobody could tell whether they hold for a later request.
                let is_copied = match (&mut self.copy, frame.data_ref()) {
                    (Some(copy), Some(piece)) => copy.push(piece),
                    (Some(_), None) | (None, _) => false,
                };
                if !is_copied {
                    self.copy = None;
                }
                // Nobody has to ask again after trailers.
                if frame.is_trailers() || self.inner.is_end_stream() {
                    self.end_whole(frame.trailers_ref());
                } else if !self.awaits_outcome && self.inner.size_hint().exact() == Some(0) {
                    // All that was announced has come. Over HTTP/2 the stream's end may be a frame of its own, for which an
                    // application over HTTP/1.1 has no reason to wait.
                    self.end(None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.end(Some(error.what.kind));
                if std::mem::replace(&mut self.begun, true) {
                    return Poll::Ready(Some(Err(error)));
                }
                // One turn later, so that the head goes out first: the application learns that it was answered.
                self.held_back = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.end_whole(None);
                Poll::Ready(None)
            }
            Poll::Pending if self.running.is_some() && self.poll_stall(cx).is_ready() => {
                self.end(Some(BreakKind::BodyStalled));
                let what = Break::new(BreakKind::BodyStalled, Certainty::Processed);
                Poll::Ready(Some(Err(AnswerError { what })))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held_back.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
