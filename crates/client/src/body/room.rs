//! An account of bytes, of memory or of disk, shared by all calls of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many bytes for all together.
#[derive(Debug)]
pub(crate) struct Room {
    free: AtomicU64,
}

/// Bytes taken from a [`Room`]; they go back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    taken: u64,
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { free: AtomicU64::new(bytes) })
    }

    /// Bytes that nobody has taken.
    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Takes `bytes`; false, and nothing taken, when they aren't there.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let left = |free: u64| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, bytes: u64) {
        self.free.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { room: Arc::clone(self), taken: 0 }
    }
}

impl Share {
    /// Takes `bytes` more; false, and nothing taken, when they aren't there.
    pub(crate) fn take(&mut self, bytes: u64) -> bool {
        let took = self.room.take(bytes);
        if took {
            self.taken += bytes;
        }
        took
    }

    /// Has `bytes` taken from now on; false, and nothing changed, when more aren't there.
    pub(crate) fn resize(&mut self, bytes: u64) -> bool {
        match bytes.checked_sub(self.taken) {
            Some(more) => self.take(more),
            None => {
                self.room.give_back(self.taken - bytes);
                self.taken = bytes;
                true
            }
        }
    }

    /// Gives everything back.
    pub(super) fn clear(&mut self) {
        self.room.give_back(std::mem::take(&mut self.taken));
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
        let room = Room::new(10);
        let mut share = room.share();
        assert!(share.take(6));
        assert!(!share.take(5));
        assert!(share.take(4));
        assert_eq!(room.free_bytes(), 0);
        assert!(!share.resize(11) && share.resize(3));
        assert_eq!(room.free_bytes(), 7);
        assert!(share.resize(10));
        drop(share);
        assert_eq!(room.free_bytes(), 10);
    }
}
