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
//! [`Destination`] says how many more writes may go to one destination now, and when to ask again; its [`Ramp`] bounds how many are on
//! their way at a time, so that a backlog doesn't meet an API that has just come back as a stampede.
//!
//! An [`Event`] is what is told of a write to an application that asked for it.
//!
//! What isn't here: order. Of each lane only the oldest write is ever offered; that is the store's.

mod after;
mod destination;
mod event;
mod ramp;
mod schedule;
mod wall;

pub use after::{
    AnswerBody, Assurance, CallEnd, DeadReason, Next, Standing, StoppedReason, after_call,
};
pub use destination::Destination;
pub use event::Event;
pub use ramp::Ramp;
pub use schedule::{ScheduleSettings, first_due};
pub use wall::WallTime;
