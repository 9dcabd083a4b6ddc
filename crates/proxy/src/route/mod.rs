//! Which requests go where: the first route that matches.
//!
//! A [`Table`] is made from one generation of settings and services, once per core, so that what a request counts
//! up and down (the `Arc`s of its route) is touched by one core only.

mod matcher;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Uri, request::Parts};
use mainstay::{Degrade, Fields, Plan, Service};
use mainstay_config::settings::{Forwarded, Route as RouteSettings, RouteOutbox, Settings};
use mainstay_core::EndpointId;
use mainstay_core::heal::socket::SocketSettings;

use crate::generation::Generation;
use matcher::Compiled;

/// The routes of one generation.
#[derive(Debug)]
pub(crate) struct Table {
    routes: Vec<(Compiled, Arc<Route>)>,
}

/// Where a request goes, with everything about it that can be prepared.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) plan: Plan,
    /// What the upstream is told of where a request came from.
    pub(crate) forwarded: Forwarded,
    /// How its WebSocket connections are watched.
    pub(crate) socket: SocketSettings,
    pub(crate) outbox: Option<RouteStores>,
    /// The `Proxy-Status` member of a plain answer, for each endpoint.
    next_hops: Box<[HeaderValue]>,
}

/// What a route stores.
#[derive(Debug)]
pub(crate) struct RouteStores {
    pub(crate) settings: RouteOutbox,
    /// The route's plan, but for what may stand in for an answer: a write that got a fixed answer hasn't arrived.
    pub(crate) keyed: Plan,
    /// The same for writes whose key says nothing about whether they may be done twice.
    pub(crate) keyless: Plan,
}

impl Table {
    /// The routes of a generation.
    pub(crate) fn new(generation: &Generation) -> Self {
        let settings = &generation.settings;
        let routes = settings
            .routes
            .iter()
            .zip(&generation.degrade)
            .filter_map(|(route, degrade)| {
                let service = generation.services.get(route.upstream);
                // The settings were checked: each route's upstream is there.
                debug_assert!(service.is_some());
                let route_made = Route::new(route, service?, settings.limits.body_bytes, degrade);
                Some((Compiled::new(&route.matcher), Arc::new(route_made)))
            })
            .collect();
        Self { routes }
    }

    /// The first route that matches.
    /// The route of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().map(|(_, route)| route).find(|route| *route.plan.route == *name)
    }

    pub(crate) fn find(&self, head: &Parts, host: &str) -> Option<&Arc<Route>> {
        let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers, host };
        self.routes.iter().find(|(compiled, _)| compiled.matches(&asked)).map(|(_, route)| route)
    }
}

/// The route that a request takes by these settings, for those who only want to know.
#[must_use]
pub fn route_of<'s>(settings: &'s Settings, head: &Parts, host: &str) -> Option<&'s RouteSettings> {
    let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers, host };
    settings.routes.iter().find(|route| Compiled::new(&route.matcher).matches(&asked))
}

/// A route that a request was held against.
#[derive(Clone, Debug)]
pub struct Considered<'s> {
    /// Which.
    pub route: &'s RouteSettings,
    /// The conditions that the request doesn't meet; none when the route matches.
    pub failed: Vec<Condition>,
}

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

/// The routes that a request is held against by these settings, in their order, up to the first that matches.
pub(crate) fn considered<'s>(
    settings: &'s Settings,
    head: &Parts,
    host: &str,
) -> Vec<Considered<'s>> {
    let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers, host };
    let mut considered = Vec::new();
    for route in &settings.routes {
        let failed = Compiled::new(&route.matcher).failed(&asked);
        let matches = failed.is_empty();
        considered.push(Considered { route, failed });
        if matches {
            break;
        }
    }
    considered
}

/// What routes look at.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a http::HeaderMap,
    /// Without port.
    host: &'a str,
}

impl Route {
    fn new(
        settings: &RouteSettings,
        service: &Arc<Service>,
        body_bytes: Option<u64>,
        degrade: &Degrade,
    ) -> Self {
        let plan = Plan {
            route: settings.name.as_str().into(),
            service: Arc::clone(service),
            policy: Arc::clone(&settings.policy),
            replay_bytes: settings.replay_bytes,
            spill_bytes: settings.spill.as_ref().map_or(0, |spill| spill.bytes),
            body_bytes,
            body_idle_timeout: settings.body_idle_timeout,
            host: settings.host.clone(),
            strip_prefix: settings.strip_prefix.clone(),
            idempotency_headers: settings
                .idempotency_headers
                .iter()
                .filter_map(|name| field(name))
                .collect(),
            hash_header: settings.hash_header.as_deref().and_then(field),
            fields: Fields {
                deadline: settings.fields.deadline.as_deref().and_then(field),
                priority: settings.fields.priority.as_deref().and_then(field),
                lane: settings.fields.lane.as_deref().and_then(field),
                attempt: settings.fields.attempt.then(|| Fields::first_attempt(&settings.policy)),
            },
            degrade: degrade.clone(),
        };
        let next_hops =
            service.settings().endpoints.iter().map(|endpoint| next_hop(&endpoint.name)).collect();
        let outbox = settings.outbox.clone().map(|settings| {
            let keyed = Plan { degrade: Degrade::default(), ..plan.clone() };
            let keyless = Plan { idempotency_headers: Vec::new(), ..keyed.clone() };
            RouteStores { settings, keyed, keyless }
        });
        Self { plan, forwarded: settings.forwarded, socket: settings.websocket, outbox, next_hops }
    }

    /// The `Proxy-Status` member for a plain answer of this endpoint.
    pub(crate) fn next_hop(&self, endpoint: EndpointId) -> HeaderValue {
        let known = self.next_hops.get(usize::from(endpoint.0));
        known.cloned().unwrap_or(HeaderValue::from_static("mainstay"))
    }
}

/// The settings were checked: a name that is none can't come from there.
fn field(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok()
}

/// `mainstay; next-hop="name"`, a structured field of RFC 8941: printable ASCII only, quote and backslash escaped.
fn next_hop(name: &str) -> HeaderValue {
    let mut text = String::from("mainstay; next-hop=\"");
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('?'),
        }
    }
    text.push('"');
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("mainstay"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoints_name_is_made_fit_for_a_structured_field() {
        assert_eq!(next_hop("a:80"), "mainstay; next-hop=\"a:80\"");
        assert_eq!(next_hop("a\"b\\é"), "mainstay; next-hop=\"a\\\"b\\\\?\"");
    }
}
