//! An application that follows a stream which is kept.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Desk;
use super::desk::Next;
use crate::pool::AnswerError;

/// One application's place at a stream. Dropped, the application has left.
#[derive(Debug)]
pub(crate) struct Follower {
    desk: Arc<Desk>,
    visitor: u64,
    /// Whether the last lines of an ended stream have been given.
    has_rest: bool,
}

impl Follower {
    /// The one for whom the stream was asked for.
    pub(super) fn first(desk: &Arc<Desk>) -> Self {
        Self::new(desk, 1)
    }

    pub(super) fn new(desk: &Arc<Desk>, visitor: u64) -> Self {
        Self { desk: Arc::clone(desk), visitor, has_rest: false }
    }

    /// The next bytes of the stream, or its end.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, AnswerError>>> {
        Poll::Ready(match ready!(self.desk.poll_next(self.visitor, cx)) {
            Next::Bytes(bytes) => Some(Ok(bytes)),
            Next::Ended(Some(what)) => Some(Err(AnswerError { what })),
            Next::Ended(None) => {
                let is_news = !std::mem::replace(&mut self.has_rest, true);
                let rest = if is_news { self.desk.rest() } else { Bytes::new() };
                (!rest.is_empty()).then_some(Ok(rest))
            }
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.desk.leave(self.visitor);
    }
}
