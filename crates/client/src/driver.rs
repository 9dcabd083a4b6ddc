//! Runs calls: drives core's [`Call`](mainstay_core::Call) with real time and real connections.

use std::sync::Arc;

use http::{Response, request};
use mainstay_core::EndpointId;
use mainstay_core::call::GaveUp;
use mainstay_record::CallId;

use crate::body::{ReplayMemory, Source};
use crate::pool::AnswerBody;
use crate::service::Plan;

/// Runs calls. Cheap to clone; one per core or one for all.
#[derive(Clone, Debug)]
pub struct Client {
    replay: Arc<ReplayMemory>,
}

/// An answer of the upstream, whole or about to be.
#[derive(Debug)]
pub struct Answer {
    /// Head and body. Hop-by-hop fields are still in it.
    pub response: Response<DeliveredBody>,
    /// The call's id.
    pub id: CallId,
    /// Attempts made, the first included.
    pub attempts: u8,
    /// Which endpoint gave it.
    pub endpoint: EndpointId,
    /// Whether it is a broken attempt's own answer, delivered since nothing better came.
    pub as_is: bool,
}

/// A call without an answer of the upstream.
#[derive(Debug)]
pub struct Unanswered {
    /// The call's id.
    pub id: CallId,
    /// Why.
    pub gave_up: GaveUp,
}

/// The body of an answer on its way to the application: it ends the call when it ends.
#[derive(Debug)]
pub struct DeliveredBody {
    inner: AnswerBody,
}

impl Client {
    /// A client whose calls together keep at most so many bytes of request bodies for replay.
    #[must_use]
    pub fn new(replay_bytes_total: usize) -> Self {
        Self { replay: ReplayMemory::new(replay_bytes_total) }
    }

    /// Makes one call. `head` is what the upstream is to see, hop-by-hop fields already taken out, except for path
    /// prefix, `Host` and authority, which depend on the endpoint and are set for each attempt.
    ///
    /// Dropping the future cancels the call: permit, reservation and connection are given back.
    ///
    /// # Errors
    ///
    /// [`Unanswered`] when there is no answer to deliver.
    pub async fn call(&self, plan: &Plan, head: request::Parts, body: Source) -> Result<Answer, Unanswered> {
        let _ = (plan, head, body, &self.replay);
        todo!()
    }
}

impl http_body::Body for DeliveredBody {
    type Data = bytes::Bytes;
    type Error = crate::pool::AnswerError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.inner).poll_frame(cx)
    }
}
