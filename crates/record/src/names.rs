//! The names behind the ids of one generation of an upstream.

use std::sync::Arc;

use mainstay_core::EndpointId;

use crate::counters::OTHER;

/// An upstream's name, and its endpoints' in the order of their ids.
#[derive(Debug)]
pub(crate) struct Names {
    upstream: Arc<str>,
    endpoints: Box<[Arc<str>]>,
    /// Host and port of each endpoint, as far as they are known.
    addresses: Box<[(Box<str>, u16)]>,
    other: Arc<str>,
}

impl Names {
    pub(crate) fn new(
        upstream: Arc<str>,
        endpoints: Box<[Arc<str>]>,
        addresses: Box<[(Box<str>, u16)]>,
    ) -> Arc<Self> {
        Arc::new(Self { upstream, endpoints, addresses, other: OTHER.into() })
    }

    pub(crate) fn upstream(&self) -> &Arc<str> {
        &self.upstream
    }

    /// The endpoint's host and port; where they aren't known its name, and 0.
    pub(crate) fn address(&self, id: EndpointId) -> (&str, u16) {
        let known = self.addresses.get(usize::from(id.0));
        known.map_or((self.endpoint(id), 0), |(host, port)| (host, *port))
    }

    /// The endpoint's name; "other" for an id that isn't in the list.
    pub(crate) fn endpoint(&self, id: EndpointId) -> &Arc<str> {
        self.endpoints.get(usize::from(id.0)).unwrap_or(&self.other)
    }
}
