//! Calls that wait to be exported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::call::kept::KeptCall;

/// Calls that are sent at once, at most: some hundred kilobytes.
pub(crate) const BATCH: usize = 512;

/// A bounded queue between calls and the one who exports them. To put a call into it is a lock and a push; nobody waits.
///
/// There is one in a recorder, for its whole life, so that what was counted stays counted.
#[derive(Debug, Default)]
pub struct SpanQueue {
    /// 0: nobody exports.
    room: AtomicUsize,
    calls: Mutex<Vec<Arc<KeptCall>>>,
    dropped: AtomicU64,
    exported: AtomicU64,
    refused: AtomicU64,
    full: Notify,
}

/// How an export fares. Calls, not spans: each has one, and one for each attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanStatus {
    /// Those that wait.
    pub queued: usize,
    /// Those that the collector took.
    pub exported: u64,
    /// Those for which there was no room.
    pub dropped: u64,
    /// Those that the collector didn't take.
    pub refused: u64,
}

/// Calls that are exported together.
#[derive(Debug)]
pub struct SpanBatch(pub(crate) Vec<Arc<KeptCall>>);

impl SpanQueue {
    /// Keeps room for so many calls from now on, of which the last quarter is for broken ones; 0 for none, since nobody
    /// exports.
    pub fn hold(&self, room: usize) {
        self.room.store(room, Ordering::Relaxed);
    }

    /// Whether somebody exports.
    pub(crate) fn is_open(&self) -> bool {
        self.room.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn push(&self, call: &Arc<KeptCall>, broken: bool) {
        let room = self.room.load(Ordering::Relaxed);
        let room = if broken { room } else { room - room / 4 };
        let mut calls = self.calls.lock();
        if calls.len() >= room {
            drop(calls);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        calls.push(Arc::clone(call));
        let is_batch = calls.len() == BATCH;
        drop(calls);
        if is_batch {
            self.full.notify_one();
        }
    }

    /// Waits until a batch is together.
    pub async fn batched(&self) {
        while self.calls.lock().len() < BATCH {
            self.full.notified().await;
        }
    }

    /// Takes out what waits, the oldest first, one batch at most.
    #[must_use]
    pub fn take(&self) -> SpanBatch {
        let mut calls = self.calls.lock();
        let some = calls.len().min(BATCH);
        SpanBatch(calls.drain(..some).collect())
    }

    /// The collector took so many calls.
    pub fn on_exported(&self, calls: usize) {
        self.exported.fetch_add(calls as u64, Ordering::Relaxed);
    }

    /// The collector didn't take so many calls.
    pub fn on_refused(&self, calls: usize) {
        self.refused.fetch_add(calls as u64, Ordering::Relaxed);
    }

    /// How the export fares.
    #[must_use]
    pub fn status(&self) -> SpanStatus {
        SpanStatus {
            queued: self.calls.lock().len(),
            exported: self.exported.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl SpanBatch {
    /// How many calls.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
