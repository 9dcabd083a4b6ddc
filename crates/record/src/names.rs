//! The names behind the ids of one generation of an upstream.

use std::sync::Arc;

use mainstay_core::EndpointId;

use crate::counters::OTHER;

/// An upstream's name, and its endpoints' in the order of their ids.
#[derive(Debug)]
pub(crate) struct Names {
    upstream: Arc<str>,
    endpoints: Box<[Arc<str>]>,
    other: Arc<str>,
}

impl Names {
    pub(crate) fn new(upstream: Arc<str>, endpoints: Box<[Arc<str>]>) -> Arc<Self> {
        Arc::new(Self { upstream, endpoints, other: OTHER.into() })
    }

    pub(crate) fn upstream(&self) -> &Arc<str> {
        &self.upstream
    }

    /// The endpoint's name; "other" for an id that isn't in the list.
    pub(crate) fn endpoint(&self, id: EndpointId) -> &Arc<str> {
        self.endpoints.get(usize::from(id.0)).unwrap_or(&self.other)
    }
}
