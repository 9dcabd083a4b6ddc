//! The body of a request on its way into a stream, as fast as the peer's windows allow.
//!
//! It is polled by whoever waits for the answer's head. Only when the head comes first does it get a task of its own:
//! a server may talk while it is still being talked to.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

use crate::body::{BodyError, Outgoing};

/// A body being sent. Dropped before its end, and with nobody else at the stream, it resets the stream.
#[derive(Debug)]
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: Outgoing,
    /// What has been read of the body and not yet been sent.
    next: Option<Next>,
}

#[derive(Debug)]
enum Next {
    Frame(Frame<Bytes>),
    End,
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, body: Outgoing) -> Self {
        Self { stream, body, next: None }
    }

    /// Ends when all is sent, or when the peer wants no more: then what comes of the stream is told by its answer.
    ///
    /// A body that breaks resets its stream: it must not look complete.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            // The peer's reset, an early answer's NO_ERROR among them, or the end of the connection.
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let sent = match self.next.take() {
                None => match self.read(cx) {
                    Poll::Ready(Ok(next)) => {
                        self.next = Some(next);
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                Some(Next::End) => {
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
                Some(Next::Frame(frame)) => match frame.into_data() {
                    Ok(data) => self.send(data, cx),
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.stream.reserve_capacity(0);
                            let _ = self.stream.send_trailers(trailers);
                        }
                        return Poll::Ready(Ok(()));
                    }
                },
            };
            match sent {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, BodyError>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Ok(Next::End)),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Next::Frame(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.stream.send_reset(Reason::CANCEL);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Sends what the windows allow of `data`. True when there may be more to send.
    fn send(&mut self, mut data: Bytes, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        if data.is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.stream.reserve_capacity(data.len());
        let mut capacity = self.stream.capacity();
        if capacity == 0 {
            capacity = match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(capacity))) => capacity,
                // The stream is closed; its answer says why.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ok(false)),
                Poll::Pending => {
                    self.next = Some(Next::Frame(Frame::data(data)));
                    return Poll::Pending;
                }
            };
        }
        let now = data.split_to(capacity.min(data.len()));
        if !data.is_empty() {
            self.next = Some(Next::Frame(Frame::data(data)));
        } else if let Poll::Ready(next) = self.read(cx) {
            // The end, if it is known already, goes with the last piece: one frame less.
            match next? {
                Next::End => {
                    let _ = self.stream.send_data(now, true);
                    return Poll::Ready(Ok(false));
                }
                frame @ Next::Frame(_) => self.next = Some(frame),
            }
        }
        if self.stream.send_data(now, false).is_err() {
            return Poll::Ready(Ok(false));
        }
        Poll::Ready(Ok(true))
    }
}
