//! What all workers share. A request reads one number of it; everything else is touched per connection or less.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    /// The same by the wall clock, in nanoseconds since 1970.
    pub(crate) started_unix_nanos: u64,
    /// How long a connection must be quiet before it is parked.
    pub(crate) park_after: Duration,
    number: AtomicU64,
    current: Mutex<Arc<Generation>>,
    /// Opened when the first route wants one.
    pub(crate) outbox: OnceLock<Arc<Outbox>>,
    connections: AtomicUsize,
    /// Sockets that connections are accepted from.
    accepting: AtomicUsize,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    draining: AtomicBool,
    /// Another process takes in what this one doesn't any more.
    succeeded: AtomicBool,
    /// Told when the last connection of a proxy that drains is gone, and when nothing is accepted any more.
    empty: Notify,
    tunnels: AtomicUsize,
    parting: AtomicBool,
    /// Told when tunnels are to end.
    part: Notify,
    /// Told when the last of them has.
    parted: Notify,
}

/// A socket that connections are accepted from, until this is dropped.
#[derive(Debug)]
pub(crate) struct Accepting(Arc<Shared>);

impl Accepting {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.accepting.fetch_add(1, SeqCst);
        Self(shared)
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        if self.0.accepting.fetch_sub(1, SeqCst) == 1 {
            self.0.empty.notify_waiters();
        }
    }
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
            started_unix_nanos: unix_nanos(),
            park_after,
            number: AtomicU64::new(generation.number),
            current: Mutex::new(generation),
            outbox: OnceLock::new(),
            connections: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            succeeded: AtomicBool::new(false),
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

    pub(crate) fn set_succeeded(&self) {
        self.succeeded.store(true, SeqCst);
    }

    /// Whether requests are taken in at its addresses.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_draining() || self.succeeded.load(SeqCst)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Waits until no connection is left, and none can come.
    pub(crate) async fn emptied(&self) {
        let is_empty = || self.accepting.load(SeqCst) == 0 && self.connections() == 0;
        // Told once for each of the two.
        while !is_empty() {
            until(&self.empty, is_empty).await;
        }
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

/// The wall clock, in nanoseconds since 1970.
pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
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
