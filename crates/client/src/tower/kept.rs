//! Says of a connection that another client's pool keeps when its answers are over.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};

use crate::pool::{Answered, Link};

/// Passes an answer on, and says of the [`Connector`](super::Connector)'s connection that it came over when it is over, so that the connection can end itself
/// before its server would. For a client that has the connector below it and no [`MainstayLayer`](super::MainstayLayer) around it, which does this of
/// its own; an answer of any other connection stays as it is.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use mainstay::tower::{Connector, kept};
/// use tower::ServiceBuilder;
///
/// let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(Connector::new());
/// let client = ServiceBuilder::new().map_response(kept::<hyper::body::Incoming>).service(client);
/// ```
#[must_use]
pub fn kept<B: Body>(mut response: Response<B>) -> Response<KeptBody<B>> {
    let link = response.extensions_mut().remove::<Arc<Link>>();
    // A connection of HTTP/2 carries others meanwhile, and one that has switched protocols carries answers no more.
    let ends = matches!(response.version(), Version::HTTP_10 | Version::HTTP_11)
        && response.status() != StatusCode::SWITCHING_PROTOCOLS;
    let answered = link.filter(|_| ends).map(|link| link.on_head(response.headers()));
    response.map(|inner| KeptBody::new(inner, answered))
}

pin_project_lite::pin_project! {
    /// The body of an answer that [`kept`] has passed on.
    pub struct KeptBody<B> {
        #[pin]
        inner: B,
        answered: Option<Answered>,
    }
}

impl<B: Body> KeptBody<B> {
    fn new(inner: B, mut answered: Option<Answered>) -> Self {
        if inner.is_end_stream() {
            end(&mut answered);
        }
        Self { inner, answered }
    }
}

fn end(answered: &mut Option<Answered>) {
    answered.take().into_iter().for_each(Answered::end);
}

impl<B: Body> Body for KeptBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            None => end(this.answered),
            // Its connection is over.
            Some(Err(_)) => *this.answered = None,
            Some(Ok(_)) if this.inner.is_end_stream() => end(this.answered),
            Some(Ok(_)) => {}
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

impl<B> fmt::Debug for KeptBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBody").finish_non_exhaustive()
    }
}
