//! The atomics that the breaker is made of: the machine's own, or loom's when its model checker runs.

#[cfg(not(loom))]
pub(super) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The one ordering used here. Each atomic of the breaker carries in itself all that it means, down to the
/// generation that it belongs to; none of them publishes other memory, so there is nothing to acquire or release.
/// What matters is that each one's own changes have one order, and that is true of relaxed atomics as well.
pub(super) const ALONE: Ordering = Ordering::Relaxed;
