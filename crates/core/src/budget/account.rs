//! The tokens of a budget, and the reservations that wait.
//!
//! Two words that all generations of a budget share, so that a reload neither doubles the account nor loses what
//! is reserved. The capacity stands in the same word as the tokens: a bucket can't be filled beyond a capacity
//! that has just been lowered, whoever fills it.

use super::Padded;
use super::atomic::{AtomicU64, Ordering};

/// Tokens, and how many reservations wait.
#[derive(Debug)]
pub(super) struct Account {
    /// capacity (32 bits) | tokens (32 bits)
    bucket: Padded<AtomicU64>,
    /// changes (32 bits) | reservations waiting (32 bits). Every change of the count is counted itself, so that a
    /// compare-and-swap fails whenever anything happened in between, even if the count is the same again.
    waiting: Padded<AtomicU64>,
}

/// The state of the waiting reservations at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting(u64);

impl Waiting {
    pub(super) const fn count(self) -> u64 {
        self.0 & LOW
    }
}

impl Account {
    pub(super) fn new(capacity: u32, tokens: u32) -> Self {
        Self {
            bucket: Padded(AtomicU64::new(pack(capacity, tokens.min(capacity)))),
            waiting: Padded(AtomicU64::new(0)),
        }
    }

    /// Changes the capacity; tokens beyond it are gone.
    pub(super) fn resize(&self, capacity: u32) {
        self.change(|_, tokens| Some((capacity, tokens.min(capacity))));
    }

    /// Puts tokens in; what doesn't fit is gone. A full bucket costs a load.
    #[inline]
    pub(super) fn give(&self, amount: u32) {
        self.change(|capacity, tokens| {
            (tokens < capacity).then(|| (capacity, tokens.saturating_add(amount).min(capacity)))
        });
    }

    /// Takes tokens out if there are enough.
    pub(super) fn take(&self, amount: u32) -> bool {
        self.change(|capacity, tokens| Some((capacity, tokens.checked_sub(amount)?)))
    }

    /// Capacity and tokens.
    pub(super) fn level(&self) -> (u32, u32) {
        unpack(self.bucket.0.load(Ordering::Relaxed))
    }

    pub(super) fn tokens(&self) -> u32 {
        self.level().1
    }

    /// The reservations that wait, to be looked at before the window is.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.waiting.0.load(Ordering::Acquire))
    }

    /// One more waits, unless anything changed since `seen`.
    pub(super) fn begin_waiting(&self, seen: Waiting) -> bool {
        let next = seen.0.wrapping_add(CHANGE + 1);
        self.waiting.0.compare_exchange(seen.0, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// One waits no longer. What it has become must be counted before.
    pub(super) fn end_waiting(&self) {
        // One change more and one waiting less, in one addition.
        let before = self.waiting.0.fetch_add(CHANGE - 1, Ordering::AcqRel);
        debug_assert!(before & LOW > 0, "more reservations ended than began");
    }

    /// Changes capacity and tokens as one; false when `next` says no.
    #[inline]
    fn change(&self, next: impl Fn(u32, u32) -> Option<(u32, u32)>) -> bool {
        // Relaxed: nothing else is read by what the tokens say.
        let changed = self.bucket.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (capacity, tokens) = unpack(word);
            next(capacity, tokens).map(|(capacity, tokens)| pack(capacity, tokens))
        });
        changed.is_ok()
    }
}

const fn pack(capacity: u32, tokens: u32) -> u64 {
    (capacity as u64) << 32 | tokens as u64
}

const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

const LOW: u64 = u32::MAX as u64;
const CHANGE: u64 = 1 << 32;
