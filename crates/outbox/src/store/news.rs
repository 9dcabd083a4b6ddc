//! What is told to whoever waits for something.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::DeliveryId;

/// What whoever writes tells the others.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Counts what was written.
    pub(super) changes: watch::Sender<u64>,
    /// Who waits for a delivery's end.
    pub(super) waiting: Mutex<HashMap<DeliveryId, Arc<Notify>>>,
    /// What was found to be damaged, if anything was.
    pub(super) damage: Mutex<Option<String>>,
}

/// Somebody who waits for news of one delivery. It is forgotten with the last of them.
pub(super) struct Waiter<'a> {
    shared: &'a Shared,
    id: DeliveryId,
    pub(super) notify: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    pub(super) fn new(shared: &'a Shared, id: DeliveryId) -> Self {
        let notify = Arc::clone(shared.waiting.lock().entry(id).or_default());
        Self { shared, id, notify }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting.lock();
        // One here, one in the map.
        if waiting.get(&self.id).is_some_and(|notify| Arc::strong_count(notify) <= 2) {
            waiting.remove(&self.id);
        }
    }
}

impl Shared {
    /// Tells those who wait for these deliveries; all, where it isn't known which they are.
    pub(super) fn tell(&self, ids: Option<&[DeliveryId]>) {
        let mut waiting = self.waiting.lock();
        match ids {
            Some(ids) => ids.iter().filter_map(|id| waiting.remove(id)).for_each(wake),
            None => waiting.drain().map(|(_, notify)| notify).for_each(wake),
        }
    }
}

fn wake(notify: Arc<Notify>) {
    notify.notify_waiters();
}
