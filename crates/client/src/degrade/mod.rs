//! What stands in for an answer that doesn't come: one that was good before ([`Kept`]), or a fixed one ([`Fallback`]).
//!
//! Whether one may is core's to decide ([`mainstay_core::degrade`]). This keeps answers as they are delivered, within bounds,
//! and finds the one that a request may have.

mod fallback;
mod fill;
mod kept;
mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use mainstay_config::settings::Stale;
use mainstay_core::degrade::{Asked, End};
use mainstay_core::event::DegradedBy;
use mainstay_core::{BreakKind, Certainty};

pub use fallback::{Fallback, FallbackError};
pub(crate) use fill::Fill;
pub use kept::Kept;
pub(crate) use target::Target;

/// What a route gives in place of answers that don't come. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Degrade {
    /// The answers that are kept, of all routes. A route that keeps none has it as well, if any other does: what it changes
    /// isn't given as it was before.
    pub kept: Option<Arc<Kept>>,
    /// Whether this route keeps answers, and gives them.
    pub stale: Option<Stale>,
    /// The fixed answer.
    pub fallback: Option<Arc<Fallback>>,
}

/// That an answer isn't the upstream's to this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// What it is.
    pub by: DegradedBy,
    /// How old it is, if it was good before.
    pub age: Option<Duration>,
    /// The status of the upstream's own answer, if it gave one.
    pub instead_of: Option<StatusCode>,
    /// How far the request may have got.
    pub certainty: Certainty,
}

/// An answer that stands in.
#[derive(Debug)]
pub(crate) struct StandIn {
    pub(crate) by: DegradedBy,
    pub(crate) age: Option<Duration>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Degrade {
    /// Whether there is anything to be done for calls of the route.
    pub(crate) const fn is_idle(&self) -> bool {
        self.kept.is_none() && self.fallback.is_none()
    }

    /// Whether something may be given in place of an answer to this request where every breaker is open.
    pub(crate) fn may_stand_in(&self, head: &Parts) -> bool {
        if self.stale.is_none() && self.fallback.is_none() {
            return false;
        }
        let (asked, end) = (asked(head), End::Failed(BreakKind::BreakerOpen));
        self.stale.as_ref().is_some_and(|stale| stale.policy.stands_in(&asked, end))
            || self.fallback.as_ref().is_some_and(|it| it.policy.stands_in(&asked, end))
    }
}

/// What core wants to know of a request.
pub(crate) fn asked(head: &Parts) -> Asked {
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Asked::of(head.method.as_str(), fields)
}
