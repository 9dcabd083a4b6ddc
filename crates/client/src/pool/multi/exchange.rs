//! One request and the head of its answer, as a stream of HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};
use http_body::Body;
use mainstay_core::breaks::evidence::Crossing;

use super::line::{Line, Waiting};
use super::received::Received;
use super::times::StreamTimes;
use super::upload::Upload;
use crate::body::Outgoing;
use crate::pool::classify::{StreamFacts, before_head_of_stream, not_begun, request_body_failed};
use crate::pool::{Broken, OnInformational};

/// A request that is under way.
pub(in crate::pool) struct Exchange {
    response: ResponseFuture,
    upload: Option<Upload>,
    on_informational: Option<OnInformational>,
    line: Arc<Line>,
    /// Bytes that the connection had written before.
    written: u64,
    reused: bool,
}

/// A request that waits for a proof of life after a `quiet` time, and for the peer's leave.
pub(in crate::pool) struct Later {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) line: Arc<Line>,
    pub(super) request: Request<Outgoing>,
    pub(super) quiet: bool,
}

impl Later {
    /// Opens its stream once it may.
    pub(super) async fn begin(self, times: &mut StreamTimes) -> Result<Exchange, Broken> {
        let Self { mut sender, line, request, quiet } = self;
        if quiet {
            times.note_proof_wanted();
            if !line.proved().await {
                let why = if line.is_silent() {
                    "a PING wasn't answered in time"
                } else {
                    "the connection ended before it was proved alive"
                };
                return Err(not_begun(true, why));
            }
            times.note_proved();
        }
        if !line.may_begin() {
            times.note_leave_wanted();
        }
        let waiting = Waiting::new(Arc::clone(&line));
        if !waiting.placed(|| is_lost(&mut sender, &line)).await {
            return Err(not_begun(
                true,
                "the connection ended before the peer allowed this stream",
            ));
        }
        times.note_allowed();
        Exchange::begin(&mut sender, &line, request, true)
    }
}

impl Exchange {
    /// Opens a stream for `request`, which is made out for HTTP/2.
    pub(super) fn begin(
        sender: &mut SendRequest<Bytes>,
        line: &Arc<Line>,
        mut request: Request<Outgoing>,
        reused: bool,
    ) -> Result<Self, Broken> {
        let on_informational = request.extensions_mut().remove::<OnInformational>();
        let (head, body) = request.into_parts();
        let ends = body.is_end_stream();
        let written = line.meter().written_bytes();
        let (response, stream) = sender
            .send_request(Request::from_parts(head, ()), ends)
            .map_err(|error| not_begun(reused, error.to_string()))?;
        let upload = (!ends).then(|| Upload::new(stream, body));
        Ok(Self { response, upload, on_informational, line: Arc::clone(line), written, reused })
    }

    /// The head of the answer.
    pub(super) async fn head(
        mut self,
        times: &mut StreamTimes,
    ) -> Result<Response<Received>, Broken> {
        if self.upload.is_none() {
            times.note_handed(self.written);
        }
        let head = poll_fn(|cx| self.poll(times, cx)).await?;
        times.note_answered();
        self.line.note_heard();
        let upload = self.upload.take().map(|mut upload| {
            // What is left of the request goes on beside the answer.
            tokio::spawn(async move {
                let _ = poll_fn(|cx| upload.poll(cx)).await;
            })
            .abort_handle()
        });
        let (parts, stream) = head.into_parts();
        let body = Received::new(stream, &parts.headers, self.line, upload);
        Ok(Response::from_parts(parts, body))
    }

    fn poll(
        &mut self,
        times: &mut StreamTimes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<h2::RecvStream>, Broken>> {
        if let Some(upload) = &mut self.upload {
            let written_before = self.line.meter().written_bytes();
            match upload.poll(cx) {
                Poll::Ready(Ok(())) => {
                    times.note_handed(written_before);
                    self.upload = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(request_body_failed(error))),
                Poll::Pending => {}
            }
        }
        if let Some(OnInformational(tell)) = &self.on_informational {
            let tell = Arc::clone(tell);
            while let Poll::Ready(Some(Ok(informational))) = self.response.poll_informational(cx) {
                tell(informational.status(), informational.headers());
            }
        }
        Pin::new(&mut self.response).poll(cx).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &h2::Error) -> Broken {
        let meter = self.line.meter();
        let facts = StreamFacts {
            reused: self.reused,
            silent: self.line.is_silent(),
            untouched: self.line.is_over() && meter.written_bytes() == self.written,
            crossing: Crossing {
                written_before: self.written,
                acked_at_end: meter.acked_at_end(),
                answered: false,
            },
        };
        before_head_of_stream(error, &facts)
    }
}

/// Whether the connection takes no new streams: it has ended, or the peer is going away.
pub(super) fn is_lost(sender: &mut SendRequest<Bytes>, line: &Line) -> bool {
    // It waits for nothing: no stream of this handle is pending.
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match sender.poll_ready(&mut cx) {
        Poll::Ready(Err(error)) => {
            line.note_error(&error);
            true
        }
        Poll::Ready(Ok(())) | Poll::Pending => false,
    }
}
