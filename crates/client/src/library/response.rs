//! Answers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use mainstay_core::event::Saved;
use mainstay_record::CallId;

use super::Error;
use crate::degrade::Degraded;
use crate::driver::{Answer, DeliveredBody};
use crate::service::Service;
use crate::shown::Names;
use crate::wishes::{Attempt, AttemptLog};

/// An answer: its head is here, its body comes as it is read.
///
/// Dropped before its body's end, its connection is closed, or its stream reset. A body that breaks is continued where that can be
/// proved to be right (the policy's `heal`), and ends with an error where it can't: it never looks complete when it isn't.
pub struct Response {
    head: http::response::Parts,
    body: ResponseBody,
    as_is: bool,
    degraded: Option<Degraded>,
}

impl Response {
    pub(super) fn new(answer: Answer, log: Arc<AttemptLog>, service: Arc<Service>) -> Self {
        let Answer { response, id, as_is, degraded, .. } = answer;
        let (head, body) = response.into_parts();
        let body = ResponseBody { body, call: Called { log, service, id } };
        Self { head, body, as_is, degraded }
    }

    /// Its status. A status of failure is an answer too; see [`Response::error_for_status`].
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The version of HTTP that the server spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.head.version
    }

    /// Its header fields.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// How many bytes its body still has, where that is known.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        HttpBody::size_hint(&self.body).exact()
    }

    /// The attempts that were made, in the order in which they began; for a body that was continued, those that did so too.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.body.call.attempts()
    }

    /// What saved the call: nothing had to, a retry, another endpoint, or a hedge.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.body.call.log.saved().unwrap_or(Saved::NotNeeded)
    }

    /// Whether it is a broken attempt's own answer, a 503 say, given since nothing better came.
    #[must_use]
    pub const fn is_last_resort(&self) -> bool {
        self.as_is
    }

    /// That it isn't the upstream's to this request, but stands in for one that didn't come, if it does.
    #[must_use]
    pub const fn degraded(&self) -> Option<Degraded> {
        self.degraded
    }

    /// The call's id, as it is in records.
    #[must_use]
    pub const fn call_id(&self) -> CallId {
        self.body.call.id
    }

    /// This answer, unless its status is one of failure (400 to 599).
    ///
    /// # Errors
    ///
    /// The status; its body isn't read.
    pub fn error_for_status(self) -> Result<Self, Error> {
        if self.head.status.is_client_error() || self.head.status.is_server_error() {
            return Err(Error::status_of(self.head.status, self.attempts(), self.call_id()));
        }
        Ok(self)
    }

    /// The next piece of its body; `None` at the end. Trailers are left out.
    ///
    /// # Errors
    ///
    /// The body broke, and couldn't be continued.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All of its body. It is as long as the server wants it to be; see [`Response::bytes_within`].
    ///
    /// # Errors
    ///
    /// The body broke, and couldn't be continued.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        self.bytes_within(usize::MAX).await
    }

    /// All of its body, if it isn't longer than `limit` bytes.
    ///
    /// # Errors
    ///
    /// The body broke, and couldn't be continued; or it is longer.
    pub async fn bytes_within(mut self, limit: usize) -> Result<Bytes, Error> {
        let is_longer = |bytes: u64| usize::try_from(bytes).map_or(true, |bytes| bytes > limit);
        if self.content_length().is_some_and(is_longer) {
            return Err(Error::too_long(limit));
        }
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        if is_longer(first.len() as u64) {
            return Err(Error::too_long(limit));
        }
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = BytesMut::from(&first[..]);
        let mut next = Some(second);
        while let Some(piece) = next {
            if is_longer((all.len() + piece.len()) as u64) {
                return Err(Error::too_long(limit));
            }
            all.extend_from_slice(&piece);
            next = self.chunk().await?;
        }
        Ok(all.freeze())
    }

    /// All of its body as UTF-8; what isn't becomes U+FFFD.
    ///
    /// # Errors
    ///
    /// As with [`Response::bytes`].
    pub async fn text(self) -> Result<String, Error> {
        let bytes = self.bytes().await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All of its body, read as JSON.
    ///
    /// # Errors
    ///
    /// As with [`Response::bytes`]; or it isn't JSON of that form.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::decode(error.into()))
    }

    /// The connection, if it has switched protocols.
    #[cfg(feature = "websocket")]
    pub(crate) fn take_upgrade(&mut self) -> Option<hyper::upgrade::OnUpgrade> {
        self.head.extensions.remove()
    }

    /// That it didn't switch protocols as it was asked to.
    #[cfg(feature = "websocket")]
    pub(crate) fn not_switched(&self) -> Error {
        Error::not_switched(self.head.status, self.attempts(), self.call_id())
    }

    /// Its body alone, piece by piece.
    #[must_use]
    pub fn into_body(self) -> ResponseBody {
        self.body
    }
}

impl From<Response> for http::Response<ResponseBody> {
    fn from(response: Response) -> Self {
        Self::from_parts(response.head, response.body)
    }
}

/// The body of an answer, as an [`http_body::Body`]; and as a stream of its pieces, with the feature `stream`.
pub struct ResponseBody {
    body: DeliveredBody,
    call: Called,
}

/// The call that an answer belongs to.
struct Called {
    log: Arc<AttemptLog>,
    service: Arc<Service>,
    id: CallId,
}

impl Called {
    fn attempts(&self) -> Vec<Attempt> {
        let upstream = self.service.upstream();
        self.log.attempts(|endpoint| upstream.endpoint_name(endpoint).to_owned())
    }
}

impl ResponseBody {
    /// The connection that had switched protocols has ended.
    #[cfg(feature = "websocket")]
    pub(crate) fn end_tunnel(
        &mut self,
        end: mainstay_core::heal::socket::TunnelEnd,
        counts: mainstay_core::heal::socket::TunnelCounts,
    ) {
        self.body.end_tunnel(end, counts);
    }

    /// That it broke so.
    #[cfg(feature = "websocket")]
    pub(crate) fn broke(&self, what: mainstay_core::Break) -> Error {
        Error::broken_socket(what, self.call.attempts(), self.call.id)
    }

    /// That its peer has read nothing for so long.
    #[cfg(feature = "websocket")]
    pub(crate) fn unread(&self, what: mainstay_core::Break, time: std::time::Duration) -> Error {
        Error::unread_socket(what, time, self.call.attempts(), self.call.id)
    }

    /// The attempts that were made until now, those that continued the body among them.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.call.attempts()
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame
                .map_err(|error| Error::broken_body(error.what, this.call.attempts(), this.call.id))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for ResponseBody {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Response {
    /// Its fields by their names: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, body, as_is, degraded } = self;
        let mut shown = f.debug_struct("Response");
        shown.field("status", &head.status).field("version", &head.version);
        shown.field("headers", &Names(&head.headers)).field("body", body);
        shown.field("is_last_resort", as_is).field("degraded", degraded).finish()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("call", &self.call.id).finish_non_exhaustive()
    }
}
