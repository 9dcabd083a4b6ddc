//! Kept connections, and the exchange of one request for one answer over them.
//!
//! [`Target`] is one endpoint as the driver sees it: it leases connections. A [`Lease`] carries one request; the
//! answer's body holds it and gives the connection back when it has been read to its end.
//!
//! Each connection has one task, spawned when it is made; a request costs no task and no timer. Kept
//! connections lie on a shelf (HTTP/1.1) or in a hub (HTTP/2), both divided by threads, so that a core finds its own
//! first. What breaks is read
//! into a [`Break`](mainstay_core::Break) in one place, `classify`, and nobody looks at a foreign error after that.

mod ahead;
mod answer;
mod classify;
mod exchange;
mod framing;
mod hub;
mod lease;
#[cfg(feature = "tower")]
mod lent;
mod lifetime;
mod multi;
mod registry;
mod rest;
mod shelf;
mod single;
mod target;

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

pub use crate::broken::Broken;
pub use crate::connect::{Addresses, TargetError};
pub(crate) use ahead::Enough;
pub use answer::{AnswerBody, AnswerError};
pub(crate) use exchange::Exchange;
pub use lease::Lease;
#[cfg(feature = "tower")]
pub(crate) use lent::{Answered, Lent, Link};
pub use registry::{ConnectionState, ConnectionView};
pub use target::{Counts, Target};

/// A request's extension: what to do with an informational answer (1xx) that comes before the answer itself.
#[derive(Clone)]
pub struct OnInformational(pub Told);

/// Hears the status of an informational answer and its fields.
pub type Told = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

/// A connection that a lease, or an answer's body, holds.
#[derive(Debug)]
enum Connection {
    /// HTTP/1.1: one exchange at a time. In a box, which stays its own as long as it lives: it changes hands often.
    Single(Box<single::Single>),
    /// HTTP/2: one of many streams.
    Stream(Box<multi::Stream>),
}
