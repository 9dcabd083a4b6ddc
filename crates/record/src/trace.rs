//! The events of one call, kept together until it is over.

use mainstay_core::{Event, Timestamp};

use crate::CallId;

/// What is known about a call apart from its events.
#[derive(Clone, Debug)]
pub struct CallTag {
    /// Its id.
    pub id: CallId,
    /// The name of its route; of its upstream where there are no routes.
    pub route: std::sync::Arc<str>,
    /// The request's method.
    pub method: http::Method,
    /// The request's path, without the query, which may hold secrets.
    pub path: String,
}

/// The events of one call. Metrics are counted as events come; the events themselves are kept for the record that
/// is written when the call met a break.
#[derive(Debug, Default)]
pub struct CallTrace {
    events: Vec<(Timestamp, Event)>,
}

impl CallTrace {
    /// Adds an event.
    pub fn push(&mut self, at: Timestamp, event: Event) {
        self.events.push((at, event));
    }
}
