//! Routes: whether a request is one of a route's, and what the route says about its calls, as a [`Plan`].
//!
//! The proxy and the library ask the same question of the same settings, so that a policy file means the same to both.

mod matcher;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, Uri};
use mainstay_config::settings::Route;

pub use matcher::Compiled;

use crate::degrade::Degrade;
use crate::service::{Fields, Plan, Service};

/// One of a route's conditions, of which all must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The host is one of its hosts.
    Host,
    /// The path fits.
    Path,
    /// The method is one of its methods.
    Method,
    /// The query has the parameter at this place of the route's.
    Query(usize),
    /// The head has the field at this place of the route's.
    Header(usize),
}

/// What routes look at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Its target; only path and query are looked at.
    pub uri: &'a Uri,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Its host, without port.
    pub host: &'a str,
}

impl Plan {
    /// What `route` wants of its calls, which go to `service`. `body_bytes`: what a request's body may have at most.
    #[must_use]
    pub fn of(
        route: &Route,
        service: &Arc<Service>,
        body_bytes: Option<u64>,
        degrade: Degrade,
    ) -> Self {
        Self {
            route: route.name.as_str().into(),
            service: Arc::clone(service),
            policy: Arc::clone(&route.policy),
            replay_bytes: route.replay_bytes,
            spill_bytes: route.spill.as_ref().map_or(0, |spill| spill.bytes),
            body_bytes,
            body_idle_timeout: route.body_idle_timeout,
            host: route.host.clone(),
            strip_prefix: route.strip_prefix.clone(),
            idempotency_headers: route
                .idempotency_headers
                .iter()
                .filter_map(|name| field(name))
                .collect(),
            hash_header: route.hash_header.as_deref().and_then(field),
            fields: Fields {
                deadline: route.fields.deadline.as_deref().and_then(field),
                priority: route.fields.priority.as_deref().and_then(field),
                lane: route.fields.lane.as_deref().and_then(field),
                attempt: route.fields.attempt.then(|| Fields::first_attempt(&route.policy)),
                trace: route.fields.trace,
            },
            degrade,
        }
    }
}

/// The settings were checked: a name that is none can't come from there.
fn field(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok()
}
