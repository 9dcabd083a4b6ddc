//! What the application gets back: the upstream's answer, or a problem document.

use std::sync::Arc;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use mainstay::{Answer, Degraded};
use mainstay_core::BreakKind;
use mainstay_core::event::DegradedBy;

use super::reply::Inner;
use super::upgrade::{self, Joined};
use super::{Refused, hop, request};
use crate::connection::Link;
use crate::problem::PROXY_STATUS;
use crate::route::Route;

/// The answer of an upstream, with what is to be known about how it came.
pub(super) fn of_answer(
    answer: Answer,
    route: &Route,
    link: &Arc<Link>,
    application: Option<OnUpgrade>,
) -> Response<Inner> {
    let proxy_status = proxy_status(&answer, route);
    let (mut head, body) = answer.response.into_parts();
    let switched = (head.status == StatusCode::SWITCHING_PROTOCOLS)
        .then(|| {
            head.headers
                .get(header::UPGRADE)
                .cloned()
                .zip(head.extensions.remove::<OnUpgrade>())
                .zip(application)
        })
        .flatten();
    head.extensions.clear();
    hop::strip(&mut head.headers);
    head.headers.reserve(OURS);
    request::append(&mut head.headers, header::VIA, request::via(head.version));
    request::append(&mut head.headers, PROXY_STATUS, proxy_status);
    mark(&mut head.headers, answer.id, answer.attempts);
    head.version = http::Version::HTTP_11;
    match switched {
        Some(((protocol, upstream), application)) => {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(header::UPGRADE, protocol.clone());
            let joined = Joined {
                protocol,
                application,
                upstream,
                socket: route.socket,
                idle_timeout: route.plan.body_idle_timeout,
            };
            upgrade::join(link.begin(), joined, body);
            Response::from_parts(head, Inner::Upgraded)
        }
        None => Response::from_parts(head, Inner::Delivered(body)),
    }
}

fn mark(headers: &mut HeaderMap, id: mainstay_record::CallId, attempts: u16) {
    if let Ok(id) = HeaderValue::from_bytes(&id.digits()) {
        headers.insert(CALL_ID, id);
    }
    let attempts = match attempts {
        1 => HeaderValue::from_static("1"),
        2 => HeaderValue::from_static("2"),
        3 => HeaderValue::from_static("3"),
        more => HeaderValue::from(more),
    };
    headers.insert(ATTEMPTS, attempts);
}

/// Prepared, unless there is something to tell about this very answer.
fn proxy_status(answer: &Answer, route: &Route) -> HeaderValue {
    if let (Some(degraded), Some(broke)) = (&answer.degraded, answer.last_break) {
        return degraded_status(degraded, broke);
    }
    let next_hop =
        answer.endpoint.map_or(HeaderValue::from_static("mainstay"), |at| route.next_hop(at));
    let Some(broke) = answer.last_break else { return next_hop };
    // No `error`: that would say that this very answer is Mainstay's own (RFC 9209, section 2.1.1).
    let what = if answer.as_is { "as-is after" } else { "saved from" };
    let status = answer.response.status().as_u16();
    let text = format!(
        "{}; received-status={status}; details=\"{what} {}\"",
        next_hop.to_str().unwrap_or("mainstay"),
        broke.code(),
    );
    HeaderValue::try_from(text).unwrap_or(next_hop)
}

/// That the answer isn't the upstream's to this request, what it is, and what broke.
///
/// Here there is an `error`: it was Mainstay that gave this answer (RFC 9209, section 2.1.1).
fn degraded_status(degraded: &Degraded, broke: BreakKind) -> HeaderValue {
    let mut text = format!("mainstay; error={}", broke.proxy_error());
    if let Some(status) = degraded.instead_of {
        text.push_str(&format!("; received-status={}", status.as_u16()));
    }
    let what = match (degraded.by, degraded.age) {
        (DegradedBy::Stale, Some(age)) => format!("stale answer, {} s old,", age.as_secs()),
        (DegradedBy::Stale, None) => "stale answer".to_owned(),
        (DegradedBy::Static, _) => "fallback answer".to_owned(),
    };
    let (broke, certainty) = (broke.code(), degraded.certainty.code());
    text.push_str(&format!("; details=\"{what} after {broke} ({certainty})\""));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("mainstay"))
}

/// The same to a gRPC call, which reads no document: the whole answer is a head.
pub(super) fn of_grpc_problem(refused: &Refused) -> Response<Inner> {
    let problem = &refused.problem;
    let mut response = Response::new(Inner::Empty);
    *response.headers_mut() = problem.grpc_headers();
    if let Some((id, attempts)) = problem.call() {
        mark(response.headers_mut(), id, attempts);
    }
    response
}

/// A problem document.
pub(super) fn of_problem(refused: Refused, is_head: bool) -> Response<Inner> {
    let Refused { problem, close } = refused;
    let text = problem.text();
    let mut response = Response::new(Inner::Empty);
    *response.status_mut() = problem.status();
    *response.headers_mut() = problem.headers();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    if let Some((id, attempts)) = problem.call() {
        mark(response.headers_mut(), id, attempts);
    }
    if close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !is_head {
        *response.body_mut() = Inner::Whole(text.into());
    }
    response
}

/// Fields that are added to each answer.
const OURS: usize = 4;
pub(super) const CALL_ID: HeaderName = HeaderName::from_static("mainstay-call-id");
pub(super) const ATTEMPTS: HeaderName = HeaderName::from_static("mainstay-attempts");
