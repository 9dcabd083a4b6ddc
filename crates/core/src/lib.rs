//! The policy engine: it decides what happens to a call whose connection breaks, and does nothing else.
//!
//! The crate is `no_std`, so it cannot name a clock, a socket, a task, a lock or a logger. Time and chance
//! come in as arguments ([`Ctx`]); decisions, deadlines and facts go out as values. The client, the proxy and
//! the simulator drive the same machines, and that is what makes the simulator's answers worth anything: a
//! decision found outside this crate is a defect.
//!
//! Two things live here:
//!
//! - [`Upstream`]: what all calls to one service share. Endpoints with their breaker, latency, health and
//!   ejection, the balancing between them, and the budget that pays for every extra attempt. Lock-free.
//! - [`Call`]: one call, a small machine made of smaller ones (deadline, retry, failover). News go in
//!   (`on_start`, `on_break`, `on_head`, `on_body_end`, `on_time`), actions come out (`next_action`), with the
//!   time to come back (`next_deadline`) and the facts worth recording (`next_event`).
//!
//! The order of the modules is the order in which a call meets them.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod breaker;
pub mod breaks;
pub mod budget;
pub mod call;
pub mod chance;
pub mod check;
pub mod degrade;
pub mod establish;
pub mod event;
pub mod heal;
pub mod idle;
pub mod incident;
pub mod limit;
pub mod line;
pub mod outbox;
pub mod ping;
pub mod queue;
pub mod rate;
pub mod ratio;
pub mod retry;
pub mod reuse;
pub mod spare;
pub mod throttle;
pub mod time;
pub mod upstream;

pub use breaks::{Break, BreakKind, Certainty, Phase};
pub use call::{Action, Call, CallFacts, CallPolicy, Ctx, Deadline};

pub use chance::Chance;
pub use check::{Checked, Problem};
pub use event::Event;
pub use idle::IdleLimit;
pub use ratio::Ratio;
pub use reuse::Reuse;
pub use time::Timestamp;
pub use upstream::{EndpointId, Upstream, UpstreamSettings};
