//! The head of an answer is held back until enough of its body is here: what breaks before that is tried again, and the
//! application sees nothing of it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use http::Response;
use http_body::Body as _;
use mainstay_core::heal::events::Stream;
use mainstay_core::heal::{Content, FIRST_EVENT_BYTES, Wanted};
use mainstay_core::{BreakKind, Certainty};

use super::grpc;
use super::heal::is_event_stream;
use super::out::Out;
use super::running::{Ended, Running};
use crate::body::Share;
use crate::pool::{AnswerBody, AnswerError, Broken, Enough};
use crate::service::Plan;

impl Out<'_> {
    /// Waits until enough of the body is here; `None` when another attempt was faster.
    pub(super) async fn hold(
        &mut self,
        plan: &Plan,
        mut response: Response<AnswerBody>,
    ) -> Option<Result<Response<AnswerBody>, Broken>> {
        let (running, attempt) = self.parts();
        let Some(mut enough) = running.hold_back(plan, &mut response) else {
            return Some(running.unless_cut_short(response));
        };
        let body = response.body_mut();
        // Nearly always it came with the head. Over HTTP/1.1 the connection's task gives it once it knows that somebody wants it,
        // one turn later; neither the machine nor a clock need know of that.
        let mut is_asked = false;
        let first = poll_fn(|cx| match body.poll_ahead(cx, &mut enough) {
            Poll::Pending if !std::mem::replace(&mut is_asked, true) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            ahead => Poll::Ready(ahead),
        })
        .await;
        let ended = match first {
            Poll::Ready(done) => Ended::Done(done),
            Poll::Pending => {
                running.tell(|call, ctx| call.on_held(attempt, ctx));
                let reading = poll_fn(|cx| body.poll_ahead(cx, &mut enough));
                running.until_ended(plan, attempt, reading).await
            }
        };
        match ended {
            Ended::Done(Err(AnswerError { what })) => {
                Some(Err(Broken::new(what.kind, Certainty::Processed)))
            }
            Ended::Done(Ok(())) => Some(running.unless_cut_short(response)),
            // An answer that has begun isn't thrown away: it is delivered as far as it is here.
            Ended::Commit | Ended::Cut => Some(Ok(response)),
            Ended::Outrun => None,
        }
    }
}

impl Running {
    /// How much of this answer is waited for, with the memory for it; `None` if it goes as it is.
    pub(super) fn hold_back(
        &self,
        plan: &Plan,
        response: &mut Response<AnswerBody>,
    ) -> Option<Enough> {
        let (enough, share) = self.enough(plan, response)?;
        if let Some(share) = share {
            response.body_mut().pay_ahead(share);
        }
        Some(enough)
    }

    fn enough(
        &self,
        plan: &Plan,
        response: &Response<AnswerBody>,
    ) -> Option<(Enough, Option<Share>)> {
        let hold = self.call.hold()?;
        let (status, body) = (response.status(), response.body());
        let speaks_grpc = self.speaks_grpc(status);
        // A break that is told by a status is no answer to wait for; and messages for which the application hasn't said all of its own
        // are a conversation.
        let goes_as_it_is = body.is_end_stream()
            || status.is_informational()
            || (speaks_grpc
                && (grpc::outcome(response.headers()).is_some() || !self.body.is_here()))
            || self.call.broken_answer(status.as_u16(), None).is_some();
        if goes_as_it_is {
            return None;
        }
        let length = body.size_hint().exact();
        let content = match speaks_grpc {
            true => Content::Messages,
            false if is_event_stream(response) => Content::Events,
            false => Content::Bytes(length),
        };
        Some(match hold.wanted(content) {
            Wanted::FirstEvent => {
                let stream = Stream::new(Arc::clone(&plan.policy.heal.events), None);
                (Enough::FirstEvent(Box::new(stream), FIRST_EVENT_BYTES), None)
            }
            Wanted::Whole => match length.and_then(|length| self.hold_memory(length)) {
                Some(share) => (Enough::Whole, Some(share)),
                None => (Enough::FirstByte, None),
            },
            Wanted::FirstByte => (Enough::FirstByte, None),
            Wanted::FirstMessage => (Enough::FirstMessage, None),
        })
    }

    /// An answer of gRPC that ended before it said anything is broken, and nothing of it has been delivered.
    pub(super) fn unless_cut_short(
        &self,
        response: Response<AnswerBody>,
    ) -> Result<Response<AnswerBody>, Broken> {
        let is_cut_short = self.speaks_grpc(response.status()) && grpc::is_cut_short(&response);
        if is_cut_short && self.call.hold().is_some() {
            return Err(Broken::new(BreakKind::BodyTruncated, Certainty::Processed));
        }
        Ok(response)
    }
}
