//! The outbox's rules: what becomes of a stored write after each call that was made for it.
//!
//! A write that was accepted is kept until one of three things is known of it, and never dropped before:
//!
//! ```text
//!              ┌──────── again, not before a time ◀───────┐
//!              ▼                                          │
//!   accepted ─ waiting ─ its turn ─ a call, as any other ─┤
//!                                                         ├─▶ delivered   the API has answered it
//!                                                         ├─▶ stopped     it may have been done: a person decides
//!                                                         └─▶ dead        refused, too old, or tried too often
//! ```
//!
//! [`after_call`] is that fork. A call inside has its own attempts, breaker, failover and budget; the [`ScheduleSettings`] are
//! about hours. What the upstream's own protection refused before anything was sent (an open breaker, an empty budget, a
//! limit) isn't held against the write: it **holds the destination**, and counts as nothing.
//!
//! Whether a write may be done twice is a matter of its [`Assurance`], which is known when it is accepted and stored with it.
//!
//! [`Ramp`] bounds how many writes are on their way to one destination at a time, so that a backlog doesn't meet an API
//! that has just come back as a stampede.
//!
//! What isn't here: order. Of each lane only the oldest write is ever offered; that is the store's.

mod after;
mod ramp;
mod schedule;

pub use after::{Assurance, CallEnd, DeadReason, Next, Standing, StoppedReason, after_call};
pub use ramp::Ramp;
pub use schedule::{ScheduleSettings, first_due};

use core::time::Duration;

/// A point of wall-clock time, in whole milliseconds since 1970. What is stored outlives the process, so that
/// [`Timestamp`](crate::Timestamp), which begins with it, can't say when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// The end of time.
    pub const NEVER: Self = Self(i64::MAX as u64);

    /// This much later. Fractions of a millisecond count as a whole one, so that a wait is never shorter than asked.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        let millis = u64::try_from(length.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(Self::NEVER.0))
    }

    /// How long it is from `earlier` to this; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
