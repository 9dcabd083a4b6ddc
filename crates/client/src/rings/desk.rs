//! One stream that is kept, between the task that reads it and the application that follows it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use mainstay_core::heal::events::{
    Attendance, Duty, GapNotice, Lost, Passed, Recorded, RingId, RingSettings, Source,
};
use mainstay_core::{Break, BreakKind, Certainty, EndpointId};
use mainstay_record::CallId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Follower, Identity};
use crate::Clock;
use crate::body::Share;

/// One stream that is kept.
#[derive(Debug)]
pub(crate) struct Desk {
    opening: Opening,
    inner: Mutex<Inner>,
    /// Told when the reader has something new to heed.
    news: Notify,
}

/// What is known of a stream as it begins.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Another number each time.
    pub(crate) run: u64,
    pub(crate) settings: RingSettings,
    pub(crate) block_bytes: usize,
    pub(crate) identity: Identity,
    pub(crate) upstream: Arc<str>,
    /// The head's fields, for each answer by which the stream goes on.
    pub(crate) headers: HeaderMap,
    pub(crate) id: CallId,
    pub(crate) attempts: u16,
    pub(crate) endpoint: Option<EndpointId>,
    /// What is told first, if it isn't known whether it joins on to what the application has: why, the id that it came with, and
    /// the type of the event.
    pub(crate) gap: Option<(Lost, Bytes, String)>,
}

#[derive(Debug)]
struct Inner {
    recorded: Recorded,
    attendance: Attendance,
    /// The last id that whoever left last can have.
    left_at: Option<RingId>,
    /// The memory that the kept events take.
    share: Share,
    /// What the application that is here hasn't taken.
    queue: VecDeque<Bytes>,
    waker: Option<Waker>,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// The server's last word: lines that no empty line followed.
    rest: Bytes,
    broke: Option<Break>,
}

/// What a follower gets.
pub(super) enum Next {
    Bytes(Bytes),
    Ended(Option<Break>),
}

impl Desk {
    pub(super) fn new(mut opening: Opening, share: Share) -> Arc<Self> {
        let mut recorded = Recorded::new(opening.settings, opening.block_bytes, opening.run);
        let gap = opening.gap.take().map(|(why, last_event_id, name)| {
            let id = Some(recorded.promise_all());
            Bytes::from(GapNotice { why, last_event_id: &last_event_id, id }.event(&name))
        });
        let inner = Inner {
            recorded,
            attendance: Attendance::new(opening.settings.keep),
            left_at: None,
            share,
            queue: gap.into_iter().collect(),
            waker: None,
            ended: None,
        };
        Arc::new(Self { opening, inner: Mutex::new(inner), news: Notify::new() })
    }

    pub(crate) const fn opening(&self) -> &Opening {
        &self.opening
    }

    pub(super) const fn run(&self) -> u64 {
        self.opening.run
    }

    pub(super) fn upstream(&self) -> &str {
        &self.opening.upstream
    }

    pub(super) fn is_for(&self, who: &Identity) -> bool {
        self.opening.identity.is(who)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.inner.lock().recorded.memory_bytes() as u64
    }

    // ---- the application ----------------------------------------------------------------------------------------

    /// An application is back, and takes the place of whoever is here. `None`: it has had all of the stream, which is over.
    ///
    /// # Errors
    ///
    /// Why it isn't known what it missed.
    pub(super) fn come_back(self: &Arc<Self>, id: RingId) -> Result<Option<Follower>, Lost> {
        let mut inner = self.inner.lock();
        let missed: VecDeque<Bytes> =
            inner.recorded.since(id)?.map(|block| Bytes::from_owner(Arc::clone(block))).collect();
        if missed.is_empty() && inner.ended.is_some() {
            return Ok(None);
        }
        inner.queue = missed;
        let visitor = inner.attendance.on_come();
        let before = inner.waker.take();
        drop(inner);
        if let Some(before) = before {
            before.wake();
        }
        self.news.notify_one();
        Ok(Some(Follower::new(self, visitor)))
    }

    pub(super) fn leave(&self, visitor: u64) {
        let mut inner = self.inner.lock();
        if !inner.attendance.is_here(visitor) {
            return;
        }
        let may_return = inner.recorded.has_promised();
        inner.attendance.on_left(visitor, may_return, Clock::now());
        inner.left_at = Some(inner.recorded.last_id());
        inner.queue.clear();
        inner.waker = None;
        drop(inner);
        self.news.notify_one();
    }

    pub(super) fn poll_next(&self, visitor: u64, cx: &mut Context<'_>) -> Poll<Next> {
        let mut inner = self.inner.lock();
        if !inner.attendance.is_here(visitor) {
            // Somebody else goes on in its place.
            let gone = Break::new(BreakKind::ClientGone, Certainty::Processed);
            return Poll::Ready(Next::Ended(Some(gone)));
        }
        if let Some(bytes) = inner.queue.pop_front() {
            let is_all = inner.queue.is_empty();
            drop(inner);
            if is_all {
                self.news.notify_one();
            }
            return Poll::Ready(Next::Bytes(bytes));
        }
        match &inner.ended {
            Some(ended) => Poll::Ready(Next::Ended(ended.broke)),
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// What comes behind the last block, for whoever has had everything.
    pub(super) fn rest(&self) -> Bytes {
        self.inner.lock().ended.as_ref().map(|ended| ended.rest.clone()).unwrap_or_default()
    }

    // ---- the reader ---------------------------------------------------------------------------------------------

    pub(super) fn duty(&self) -> Duty {
        let inner = self.inner.lock();
        inner.attendance.duty(!inner.queue.is_empty(), Clock::now())
    }

    /// Whether an application is here.
    pub(super) fn is_followed(&self) -> bool {
        self.inner.lock().attendance.is_anybody_here()
    }

    /// Ready when there may be another duty.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    pub(super) fn on_closing(&self) {
        self.inner.lock().attendance.on_closing();
        self.news.notify_one();
    }

    /// A piece of the stream came.
    pub(super) fn take(&self, piece: &Bytes) {
        let mut inner = self.inner.lock();
        let Inner { recorded, attendance, left_at, share, queue, waker, .. } = &mut *inner;
        let (is_here, mut at) = (attendance.is_anybody_here(), 0);
        while let Some(passed) = recorded.take(piece, &mut at) {
            if is_here {
                queue.push_back(match passed {
                    Passed::Event(block) => Bytes::from_owner(block),
                    Passed::Other(Source::Piece(range)) => piece.slice(range),
                    Passed::Other(Source::Own(bytes)) => bytes.into(),
                });
            }
        }
        while !share.resize(recorded.memory_bytes() as u64) && recorded.give_up_oldest() {}
        if left_at.is_some_and(|id| !is_here && recorded.since(id).is_err()) {
            attendance.on_out_of_reach();
        }
        let waker = waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The stream ended, well or by a break. What is told last is told once.
    pub(super) fn end(&self, broke: Option<Break>) {
        let mut inner = self.inner.lock();
        if inner.ended.is_some() {
            return;
        }
        let rest = Bytes::copy_from_slice(inner.recorded.rest());
        inner.ended = Some(Ended { rest, broke });
        inner.attendance.on_end();
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
