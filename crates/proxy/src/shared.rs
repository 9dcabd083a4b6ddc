//! What all workers share. A request reads one number of it; everything else is touched per connection or less.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mainstay_record::Recorder;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::generation::Generation;
use crate::outbox::Outbox;

/// The proxy's state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) started: Instant,
    /// How long a connection must be quiet before it is parked.
    pub(crate) park_after: Duration,
    number: AtomicU64,
    current: Mutex<Arc<Generation>>,
    /// Opened when the first route wants one.
    pub(crate) outbox: OnceLock<Arc<Outbox>>,
    connections: AtomicUsize,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    draining: AtomicBool,
    /// Told when the last connection of a proxy that drains is gone.
    empty: Notify,
    tunnels: AtomicUsize,
    parting: AtomicBool,
    /// Told when tunnels are to end.
    part: Notify,
    /// Told when the last of them has.
    parted: Notify,
}

/// A tunnel that is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenTunnel(Arc<Shared>);

impl OpenTunnel {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.tunnels.fetch_add(1, SeqCst);
        Self(shared)
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        if self.0.tunnels.fetch_sub(1, SeqCst) == 1 {
            self.0.parted.notify_waiters();
        }
    }
}

impl Shared {
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        generation: Arc<Generation>,
        park_after: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            recorder,
            started: Instant::now(),
            park_after,
            number: AtomicU64::new(generation.number),
            current: Mutex::new(generation),
            outbox: OnceLock::new(),
            connections: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            empty: Notify::new(),
            tunnels: AtomicUsize::new(0),
            parting: AtomicBool::new(false),
            part: Notify::new(),
            parted: Notify::new(),
        })
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.lock())
    }

    /// The number of the current generation: whoever knows another asks for the new one.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Relaxed)
    }

    pub(crate) fn swap(&self, generation: Arc<Generation>) {
        let mut current = self.current.lock();
        self.number.store(generation.number, Relaxed);
        *current = generation;
    }

    /// Takes one more connection in, unless there are `limit` already.
    pub(crate) fn admit(&self, limit: usize) -> bool {
        if self.connections.fetch_add(1, SeqCst) >= limit {
            self.turned_away.fetch_add(1, Relaxed);
            self.connection_closed();
            return false;
        }
        self.accepted.fetch_add(1, Relaxed);
        true
    }

    pub(crate) fn connection_closed(&self) {
        if self.connections.fetch_sub(1, SeqCst) == 1 && self.is_draining() {
            self.empty.notify_waiters();
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Connections taken in since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections closed at once, since there were too many.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Waits until no connection is left.
    pub(crate) async fn emptied(&self) {
        until(&self.empty, || self.connections() == 0).await;
    }

    /// Tells all tunnels to end, and waits until they have.
    pub(crate) async fn part(&self) {
        self.parting.store(true, SeqCst);
        self.part.notify_waiters();
        until(&self.parted, || self.tunnels.load(SeqCst) == 0).await;
    }

    /// Waits until tunnels are to end.
    pub(crate) async fn parting(&self) {
        until(&self.part, || self.parting.load(SeqCst)).await;
    }
}

/// Waits for what `news` tells of.
async fn until(news: &Notify, is_so: impl Fn() -> bool) {
    let mut told = std::pin::pin!(news.notified());
    // Listening begins before anybody looks, or it could slip through between the two.
    told.as_mut().enable();
    if !is_so() {
        told.await;
    }
}
