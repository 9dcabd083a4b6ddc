//! What happens, as it happens, for whoever watches: the dashboard, `top`.
//!
//! Breaks, retries, changes of breakers and endpoints, calls that failed or were saved; never a healthy call. Items
//! are made only while somebody reads. A reader that is too slow isn't waited for: it is told how many it lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

pub use item::FeedItem;
pub(crate) use item::{Source, is_news, is_transition, millis};

mod item;

/// Items that a reader may be behind: what an outage makes in some tenths of a second at 5,000 calls a second.
const BEHIND: usize = 1024;

/// A reader of what happens.
#[derive(Debug)]
pub struct Feed {
    items: broadcast::Receiver<Arc<FeedItem>>,
    audience: Arc<Audience>,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedNews {
    /// Something happened.
    Item(Arc<FeedItem>),
    /// So many items were lost here, since the reader was too slow.
    Lost(u64),
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct Hub {
    items: broadcast::Sender<Arc<FeedItem>>,
    audience: Arc<Audience>,
}

/// How many read, to be asked without a lock, and how much they lost.
#[derive(Debug, Default)]
struct Audience {
    readers: AtomicUsize,
    lost: AtomicU64,
}

impl Feed {
    /// The next news; `None` when the recorder is gone.
    pub async fn next(&mut self) -> Option<FeedNews> {
        match self.items.recv().await {
            Ok(item) => Some(FeedNews::Item(item)),
            Err(RecvError::Lagged(lost)) => Some(self.lost(lost)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next news if there are any now.
    pub fn try_next(&mut self) -> Option<FeedNews> {
        match self.items.try_recv() {
            Ok(item) => Some(FeedNews::Item(item)),
            Err(TryRecvError::Lagged(lost)) => Some(self.lost(lost)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn lost(&self, lost: u64) -> FeedNews {
        self.audience.lost.fetch_add(lost, Ordering::Relaxed);
        FeedNews::Lost(lost)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.audience.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { items: broadcast::Sender::new(BEHIND), audience: Arc::default() }
    }

    pub(crate) fn subscribe(&self) -> Feed {
        self.audience.readers.fetch_add(1, Ordering::Relaxed);
        Feed { items: self.items.subscribe(), audience: Arc::clone(&self.audience) }
    }

    /// Whether anybody reads: one load.
    pub(crate) fn has_readers(&self) -> bool {
        self.audience.readers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn send(&self, item: Arc<FeedItem>) {
        // Fails only when the last reader has just left, and then nobody misses the item.
        let _ = self.items.send(item);
    }

    /// Items that readers lost by being slow.
    pub(crate) fn lost(&self) -> u64 {
        self.audience.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::{EndpointId, Event, Timestamp};

    fn item(attempt: u16) -> Arc<FeedItem> {
        let names = crate::names::Names::new("api".into(), Box::default(), Box::default());
        let source = Source { names: &names, call: None, unix_ms: attempt.into() };
        let event = Event::BreakerClosed { endpoint: EndpointId(0) };
        Arc::new(source.item(Timestamp::ZERO, &event))
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_lost() {
        let hub = Hub::new();
        assert!(!hub.has_readers());
        let mut feed = hub.subscribe();
        assert!(hub.has_readers());
        (0..1034).for_each(|place| hub.send(item(place)));
        assert_eq!(feed.try_next(), Some(FeedNews::Lost(10)));
        assert_eq!(feed.try_next(), Some(FeedNews::Item(item(10))));
        assert_eq!(hub.lost(), 10);
        drop(feed);
        assert!(!hub.has_readers());
    }

    #[test]
    fn the_feed_ends_with_the_recorder() {
        let hub = Hub::new();
        let mut feed = hub.subscribe();
        drop(hub);
        assert_eq!(feed.try_next(), None);
    }
}
