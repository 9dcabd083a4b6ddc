//! How many connections a target may have, in use and idle together.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The places of one target.
#[derive(Debug)]
pub(crate) struct Places {
    limit: u32,
    taken: AtomicU32,
    opened: AtomicU64,
    /// Those who wait for a place or for a connection that is given back.
    waiting: AtomicU32,
    room: Notify,
}

/// A turn in the queue. Dropped, it is given up, and a wake-up that it had got goes to the next.
#[must_use]
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Places);

/// One connection's place, free again when dropped. It lives in the socket, so a connection counts until the
/// socket is closed, whoever holds it: the pool, a call, or both ends of an upgrade.
#[must_use]
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Places {
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicU32::new(0),
            opened: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            room: Notify::new(),
        })
    }

    /// A place, or nothing when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < self.limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Place(Arc::clone(self)))
    }

    /// Places that are taken now.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Connections that were established, ever.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// One more connection is established.
    pub(super) fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A turn in the queue, unless so many wait already.
    pub(crate) fn line_up(&self, most: u32) -> Option<Turn<'_>> {
        self.waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
                (waiting < most).then_some(waiting + 1)
            })
            .ok()
            .map(|_| Turn(self))
    }

    /// A connection was given back, or a place: whoever has waited longest looks again.
    ///
    /// The order of things on both sides is that of one total order (`SeqCst`): either the giver sees who waits, or
    /// whoever waits sees what was given.
    pub(crate) fn note_room(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.room.notify_one();
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        self.0.note_room();
    }
}

impl Turn<'_> {
    /// Ends when something came free after it was asked for: ask, then look, then wait. Those who wait are woken in turn; a
    /// call that comes just then may be quicker, and the one that was woken for nothing waits on.
    pub(crate) fn room(&self) -> Pin<Box<Notified<'_>>> {
        let mut room = Box::pin(self.0.room.notified());
        room.as_mut().enable();
        // What came free before this turn was in the queue has woken nobody; whoever looks now sees it.
        fence(Ordering::SeqCst);
        room
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_places_are_given_than_there_are_and_dropped_ones_are_free_again() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some());
        assert!(places.take().is_none());
        drop(first);
        assert_eq!(places.taken(), 1);
        assert!(places.take().is_some());
    }
}
