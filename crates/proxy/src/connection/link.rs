//! What is known of a connection while it lasts: what it is doing, since when, and what is asked of it.
//!
//! Everything here is written by the connection's own worker, so the atomics cost next to nothing; they are
//! atomics because hyper's types ask for `Send`. Times are the worker's coarse clock, in milliseconds.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use http::{HeaderMap, header};
use mainstay_record::Origin;
use parking_lot::Mutex;

use crate::forward::Names;
use crate::worker::Worker;

/// One connection of an application. It counts as open until this is dropped.
pub(crate) struct Link {
    worker: Arc<Worker>,
    peer: IpAddr,
    secure: bool,
    http2: AtomicBool,
    calls: AtomicU32,
    had_calls: AtomicBool,
    /// Nothing of an answer waits to be written.
    flushed: AtomicBool,
    parked: AtomicBool,
    /// The socket is being taken out of the engine: a shutdown must leave it open.
    keeps_open: AtomicBool,
    /// The end of an answer is the end of the connection, so an early end has to look like a break.
    ends_by_close: AtomicBool,
    /// When the first byte of a head came that isn't complete; 0 for none.
    head_since: AtomicU64,
    /// When the last call ended, or the connection began.
    quiet_since: AtomicU64,
    /// When the application stopped taking what is written; 0 for never.
    blocked_since: AtomicU64,
    /// The last head with a body in chunks also announced a length.
    conflict: AtomicBool,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
    names: Mutex<Option<Names>>,
}

/// What the sweep asks of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// It has been quiet: give buffers back.
    Park,
    /// It has been idle for too long.
    Close,
    /// A head has been arriving for too long.
    HeadTimeout,
    /// Finish what is going on, take nothing new.
    Drain,
}

/// How long things may last on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    pub(crate) park_after: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// A call that is going on over a connection. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Active(Arc<Link>);

impl Link {
    pub(super) fn new(worker: Arc<Worker>, peer: IpAddr, secure: bool) -> Arc<Self> {
        let now = worker.now_ms();
        Arc::new(Self {
            worker,
            peer: peer.to_canonical(),
            secure,
            http2: AtomicBool::new(false),
            calls: AtomicU32::new(0),
            had_calls: AtomicBool::new(false),
            flushed: AtomicBool::new(true),
            parked: AtomicBool::new(false),
            keeps_open: AtomicBool::new(false),
            ends_by_close: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            quiet_since: AtomicU64::new(now),
            blocked_since: AtomicU64::new(0),
            conflict: AtomicBool::new(false),
            order: AtomicU8::new(0),
            waker: Mutex::new(None),
            names: Mutex::new(None),
        })
    }

    pub(crate) const fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    pub(crate) const fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(crate) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// What spans say of its calls.
    pub(crate) const fn origin(&self) -> Origin {
        Origin::Listener { secure: self.secure }
    }

    /// What has been made of the names that requests of this connection bring along, to be used again.
    pub(crate) const fn names(&self) -> &Mutex<Option<Names>> {
        &self.names
    }

    /// A call begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.calls.fetch_add(1, Relaxed);
        self.had_calls.store(true, Relaxed);
        self.worker.calls().fetch_add(1, Relaxed);
        self.flushed.store(false, Relaxed);
        self.head_since.store(0, Relaxed);
        Active(Arc::clone(self))
    }

    /// Whether a head with these fields also announced a length, which hyper has taken out. Asked once for each.
    pub(crate) fn take_conflict_of(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(header::TRANSFER_ENCODING) && self.conflict.swap(false, Relaxed)
    }

    pub(super) fn note_conflict(&self) {
        self.conflict.store(true, Relaxed);
    }

    pub(super) fn set_http2(&self) {
        self.http2.store(true, Relaxed);
        self.head_since.store(0, Relaxed);
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Whether it has brought a request yet.
    pub(crate) fn has_had_calls(&self) -> bool {
        self.had_calls.load(Relaxed)
    }

    pub(super) fn set_parked(&self, parked: bool) {
        match (self.parked.swap(parked, Relaxed), parked) {
            (false, true) => self.worker.parked().fetch_add(1, Relaxed),
            (true, false) => self.worker.parked().fetch_sub(1, Relaxed),
            (true, true) | (false, false) => 0,
        };
    }

    pub(super) fn set_keeps_open(&self, keeps_open: bool) {
        self.keeps_open.store(keeps_open, Relaxed);
    }

    pub(super) fn keeps_open(&self) -> bool {
        self.keeps_open.load(Relaxed)
    }

    /// Says that the answer that is about to be given ends with the connection.
    pub(crate) fn note_ends_by_close(&self) {
        self.ends_by_close.store(true, Relaxed);
    }

    pub(super) fn ends_by_close(&self) -> bool {
        self.ends_by_close.load(Relaxed)
    }

    /// Bytes came. Says whether they are the first of a head.
    pub(super) fn note_read(&self) -> bool {
        if self.calls.load(Relaxed) > 0 || self.head_since.load(Relaxed) > 0 {
            return false;
        }
        self.head_since.store(self.worker.now_ms(), Relaxed);
        true
    }

    /// Everything that was to be written has been.
    pub(super) fn note_flushed(&self) {
        if !self.flushed.load(Relaxed) && self.calls.load(Relaxed) == 0 {
            self.flushed.store(true, Relaxed);
        }
    }

    pub(super) fn note_write(&self, blocked: bool) {
        match (blocked, self.blocked_since.load(Relaxed)) {
            (false, 0) => {}
            (false, _) => self.blocked_since.store(0, Relaxed),
            (true, 0) => self.blocked_since.store(self.worker.now_ms(), Relaxed),
            (true, _) => {}
        }
    }

    /// Whether the application takes nothing of what is written.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since.load(Relaxed) > 0
    }

    /// Whether no call is going on and the last answer has left.
    pub(super) fn is_between_requests(&self) -> bool {
        self.calls.load(Relaxed) == 0
            && self.flushed.load(Relaxed)
            && self.head_since.load(Relaxed) == 0
    }

    /// What time asks of the connection.
    pub(crate) fn due(&self, now_ms: u64, rhythm: &Rhythm) -> Option<Order> {
        let past = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Relaxed);
            since > 0 && u128::from(now_ms.saturating_sub(since)) >= limit.as_millis()
        };
        if past(&self.blocked_since, rhythm.idle_timeout) {
            return Some(Order::Close);
        }
        if self.calls.load(Relaxed) > 0 {
            return None;
        }
        if self.head_since.load(Relaxed) > 0 && !self.http2.load(Relaxed) {
            return past(&self.head_since, rhythm.head_timeout).then_some(Order::HeadTimeout);
        }
        if past(&self.quiet_since, rhythm.idle_timeout) {
            return Some(Order::Close);
        }
        let parks = !self.parked.load(Relaxed)
            && !self.http2.load(Relaxed)
            && self.flushed.load(Relaxed)
            && past(&self.quiet_since, rhythm.park_after);
        parks.then_some(Order::Park)
    }

    /// Gives an order and wakes the connection.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8 + 1, Relaxed);
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn take_order(&self) -> Option<Order> {
        // Nearly always there is none, and a load is cheaper than a swap.
        if self.order.load(Relaxed) == 0 {
            return None;
        }
        match self.order.swap(0, Relaxed) {
            1 => Some(Order::Park),
            2 => Some(Order::Close),
            3 => Some(Order::HeadTimeout),
            4 => Some(Order::Drain),
            _ => None,
        }
    }

    /// Whom to wake for an order. A spawned task has one waker for its whole life, so it is told once.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.shared().connection_closed();
    }
}

impl Active {
    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.worker.now_ms(), Relaxed);
        self.0.worker.calls().fetch_sub(1, Relaxed);
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
