//! One call: what the application asked for, once.
//!
//! ```text
//!             on_start                  on_head: good, or nothing better can come
//!   new ───────────────▶ trying ───────────────────────────────────────────────▶ delivered ─▶ over
//!                        │    ▲                                                                 ▲
//!      on_break, on_head: │    │ on_time                                                        │
//!      again, not now     ▼    │          on_break: no more, or on_cancel                        │
//!                        waiting ────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Call`] is made of smaller machines, none of which knows the others: [`Attempts`] (how often, and with what wait
//! between), [`Tried`] (where already), what is out (an attempt, and at times a [hedge](HedgeSettings) beside it). It asks
//! the shared [`Upstream`] whether an attempt may pass, for a place and its budget for the means, and the retry-safety table
//! for leave. While there is no room under a limit it stands in line; while every breaker is open it waits for one (`dark`). An upload that its server keeps goes on in further
//! attempts (`upload`), as a delivered answer does (`body`).
//!
//! # Driving it
//!
//! One rule: after each piece of news drain [`Call::next_action`] and [`Call::next_event`], then sleep until
//! [`Call::next_deadline`] or the next news. Each [`Action::Attempt`] is answered by one [`Call::on_head`] or
//! [`Call::on_break`], a cancelled one too, unless the call is over; late news is ignored.
//!
//! [`Upstream`]: crate::upstream::Upstream

mod adaptive;
mod after;
mod attempts;
mod body;
mod dark;
mod deadlines;
mod ending;
mod hedge;
mod layers;
mod machine;
mod out;
mod policy;
mod starting;
pub mod time_left;
mod tried;
mod upload;

pub use adaptive::AdaptiveTimeout;
pub use attempts::Attempts;
pub use deadlines::{Deadline, DeadlineReason};
pub use hedge::{HedgeAfter, HedgeRefusal, HedgeSettings};
pub use layers::Layer;
pub use machine::Call;
pub use policy::{CallFacts, CallPolicy};
pub use tried::Tried;

use alloc::sync::Arc;
use core::time::Duration;

use crate::breaks::{BreakKind, Certainty};
use crate::chance::Chance;
use crate::event::{AttemptId, StopReason};
use crate::line::Entry;
use crate::time::Timestamp;
use crate::upstream::{EndpointId, Upstream};

/// What a call is told with each piece of news.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The time of the news.
    pub now: Timestamp,
    /// A source of chance.
    pub chance: &'a mut Chance,
    /// The generation of the upstream with which the call started.
    pub upstream: &'a Arc<Upstream>,
}

/// Over which connection an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    /// A kept one if there is one.
    Any,
    /// A new one: a kept one has just turned out to be dead.
    Fresh,
}

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the request to an endpoint.
    Attempt {
        /// Its number, to be given back with the news of it.
        attempt: AttemptId,
        /// Where to.
        endpoint: EndpointId,
        /// Over what.
        connection: Connection,
    },
    /// Wait in the upstream's line for room under its limits, and tell the call when it has its turn
    /// ([`Call::on_turn`]) or is turned away ([`Call::on_turned_away`]).
    Line(Entry),
    /// Stop an attempt and report it as broken, with how far it got.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// Keep the answer of an attempt for the case that nothing better comes; one kept before may go.
    Keep {
        /// Which.
        attempt: AttemptId,
    },
    /// Give the answer of this attempt to the application.
    Deliver {
        /// Which; the last one, or the one that was kept.
        attempt: AttemptId,
    },
    /// Answer the application ourselves: there is no answer of the upstream.
    Fail(GaveUp),
    /// Give what has come of this attempt's answer to the application, although more was waited for.
    Commit {
        /// Which.
        attempt: AttemptId,
    },
    /// Go on with the body of the delivered answer from the answer of this attempt.
    Continue {
        /// Which.
        attempt: AttemptId,
    },
    /// End the body of the delivered answer so that the application notices: it isn't continued.
    Cut(BreakKind),
}

/// Why a call has no answer of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GaveUp {
    /// What broke last.
    pub kind: BreakKind,
    /// How far the request may have got, at worst.
    pub certainty: Certainty,
    /// Why nothing more was tried.
    pub stop: StopReason,
    /// How many attempts were made.
    pub attempts: u16,
    /// When it is worth coming back, if that is known.
    pub retry_after: Option<Duration>,
}
