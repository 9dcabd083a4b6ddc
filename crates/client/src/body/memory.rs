//! Memory for bodies that may have to be sent again, shared by all calls of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An account of bytes.
#[derive(Debug)]
pub struct ReplayMemory {
    free: AtomicUsize,
}

/// Bytes taken from a [`ReplayMemory`]; they go back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<ReplayMemory>,
    taken: usize,
}

impl ReplayMemory {
    /// So many bytes for all calls together.
    #[must_use]
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes) })
    }

    /// Bytes that nobody has taken.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { memory: Arc::clone(self), taken: 0 }
    }
}

impl Share {
    /// Takes `bytes` more; false, and nothing taken, when they aren't there.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let took = self
            .memory
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes))
            .is_ok();
        if took {
            self.taken += bytes;
        }
        took
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Gives everything back.
    pub(super) fn clear(&mut self) {
        self.memory.free.fetch_add(std::mem::take(&mut self.taken), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_back_when_their_share_is_dropped() {
        let memory = ReplayMemory::new(10);
        let mut share = memory.share();
        assert!(share.take(6));
        assert!(!share.take(5));
        assert!(share.take(4));
        assert_eq!(memory.free_bytes(), 0);
        drop(share);
        assert_eq!(memory.free_bytes(), 10);
    }
}
