//! Which requests go where: the first route that matches.
//!
//! A [`Table`] is made from one generation of settings and services, once per core, so that what a request counts
//! up and down (the `Arc`s of its route) is touched by one core only.

use std::sync::Arc;

use http::{HeaderValue, request::Parts};
pub use mainstay::route::Condition;
use mainstay::route::{Asked, Compiled};
use mainstay::stored::Stores;
use mainstay::{Degrade, Plan, Service};
use mainstay_config::settings::{Forwarded, Route as RouteSettings, Settings};
use mainstay_core::EndpointId;
use mainstay_core::heal::socket::SocketSettings;
use mainstay_outbox::WEBHOOK_ID;

use crate::generation::Generation;

/// The routes of one generation.
#[derive(Debug)]
pub(crate) struct Table {
    routes: Vec<(Compiled, Arc<Route>)>,
    /// Ways for callbacks of stored writes, which no request takes.
    callbacks: Vec<Arc<Route>>,
}

/// Where a request goes, with everything about it that can be prepared.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) plan: Plan,
    /// What the upstream is told of where a request came from.
    pub(crate) forwarded: Forwarded,
    /// How its WebSocket connections are watched.
    pub(crate) socket: SocketSettings,
    pub(crate) outbox: Option<Stores>,
    /// The `Proxy-Status` member of a plain answer, for each endpoint.
    next_hops: Box<[HeaderValue]>,
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
        let callbacks = settings
            .callbacks
            .iter()
            .filter_map(|route| {
                let service = generation.services.get(route.upstream)?;
                Some(Arc::new(Route::to_tell(route, service)))
            })
            .collect();
        Self { routes, callbacks }
    }

    /// The way for callbacks to an upstream.
    pub(crate) fn callback(&self, upstream: &str) -> Option<&Arc<Route>> {
        self.callbacks.iter().find(|route| **route.plan.service.name() == *upstream)
    }

    /// The route of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().map(|(_, route)| route).find(|route| *route.plan.route == *name)
    }

    /// The first route that matches.
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

impl Route {
    pub(crate) fn new(
        settings: &RouteSettings,
        service: &Arc<Service>,
        body_bytes: Option<u64>,
        degrade: &Degrade,
    ) -> Self {
        let plan = Plan::of(settings, service, body_bytes, degrade.clone());
        let next_hops =
            service.settings().endpoints.iter().map(|endpoint| next_hop(&endpoint.name)).collect();
        let outbox = settings.outbox.clone().map(|settings| Stores::new(settings, &plan));
        Self { plan, forwarded: settings.forwarded, socket: settings.websocket, outbox, next_hops }
    }

    /// A way for callbacks: each may be made twice, by its id.
    fn to_tell(settings: &RouteSettings, service: &Arc<Service>) -> Self {
        let mut settings = settings.clone();
        settings.idempotency_headers = vec![WEBHOOK_ID.to_owned()];
        settings.outbox.get_or_insert_default();
        Self::new(&settings, service, None, &Degrade::default())
    }

    /// The `Proxy-Status` member for a plain answer of this endpoint.
    pub(crate) fn next_hop(&self, endpoint: EndpointId) -> HeaderValue {
        let known = self.next_hops.get(usize::from(endpoint.0));
        known.cloned().unwrap_or(HeaderValue::from_static("mainstay"))
    }
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
