//! What can be ordered: reading the file again, and what becomes of an endpoint.
//!
//! Each order is a line in the log, an item of the feed, and one of the changes of state, with who gave it.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use mainstay::{Clock, Service};
use mainstay_core::EndpointId;
use mainstay_core::upstream::Order;
use mainstay_record as record;
use serde_json::json;

use super::Reply;
use super::guard::Orderer;
use super::paths::{answered, json};
use crate::error::ReloadError;
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;

/// Reads the file again.
pub(super) fn reload(control: &Control, orderer: &Orderer) -> Response<Reply> {
    if let Err(wanted) = orderer.confirms("reload", &["settings"]) {
        return answered(&Problem::of_unconfirmed(&wanted));
    }
    control.shared.recorder.note_order(record::Order {
        who: orderer.who.clone(),
        order: "reload".to_owned(),
        what: Some("settings".to_owned()),
        ..record::Order::default()
    });
    match control.reload_from_file() {
        Ok(()) => json(StatusCode::OK, &json!({ "generation": control.shared.number() })),
        Err(error) => {
            let status = match error {
                ReloadError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
                ReloadError::NoFile | ReloadError::NeedsRestart(_) => StatusCode::CONFLICT,
                ReloadError::File(_) | ReloadError::Start(_) => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let detail = error.to_string();
            let problem = json!({
                "type": "urn:mainstay:refusal:not-reloaded",
                "title": "The settings weren't changed",
                "status": status.as_u16(),
                "detail": detail,
            });
            let mut response = json(status, &problem);
            let content_type = http::HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
            response
        }
    }
}

/// What is ordered for an endpoint: `words` are the orders that may be given here.
pub(super) async fn endpoint(
    control: &Control,
    orderer: &Orderer,
    (upstream, endpoint): (&str, &str),
    words: &[Order],
    body: Incoming,
) -> Result<Response<Reply>, Refusal> {
    let current = control.shared.current();
    let (upstream, endpoint) = (decoded(upstream), decoded(endpoint));
    let service = current.service(&upstream).ok_or(Refusal::NoSuchEndpoint)?;
    let id = endpoint_id(service, &endpoint).ok_or(Refusal::NoSuchEndpoint)?;
    let body = text(body).await?;
    let order = Order::from_code(&body).filter(|order| words.contains(order));
    let order = order.ok_or(match words.contains(&Order::Drain) {
        true => Refusal::BadOrder("Allowed are drain, open, closed and auto."),
        false => Refusal::BadOrder("Allowed are open, closed and auto."),
    })?;
    if let Err(wanted) = orderer.confirms(order.code(), &[&upstream, &endpoint]) {
        return Ok(answered(&Problem::of_unconfirmed(&wanted)));
    }
    let now = Clock::now();
    control.shared.recorder.note_order(record::Order {
        who: orderer.who.clone(),
        order: order.code().to_owned(),
        upstream: Some(Arc::clone(service.name())),
        endpoint: Some(endpoint.as_str().into()),
        what: None,
    });
    for event in service.upstream().order(id, order, now) {
        service.recorder().on_upstream_event(now, event);
    }
    if let (Order::Drain, Some(target)) = (order, service.targets().nth(usize::from(id.0))) {
        target.close_idle();
    }
    let who = &orderer.who;
    tracing::info!(upstream, endpoint, order = order.code(), %who, "an endpoint was ordered");
    let in_flight = service.upstream().in_flight(id);
    let order = order.code();
    // `breaker` is what the older path calls it.
    Ok(json(
        StatusCode::OK,
        &json!({
            "upstream": upstream, "endpoint": endpoint, "order": order, "breaker": order,
            "in_flight": in_flight,
        }),
    ))
}

/// The text of an order.
pub(super) async fn text(body: Incoming) -> Result<String, Refusal> {
    let wrong = Refusal::BadOrder("The order can't be read, or is too long.");
    let body = Limited::new(body, MOST_ORDER_BYTES).collect().await.map_err(|_| wrong)?;
    let body = body.to_bytes();
    let text = std::str::from_utf8(&body).map_err(|_| wrong)?;
    Ok(text.trim().to_owned())
}

fn endpoint_id(service: &Arc<Service>, name: &str) -> Option<EndpointId> {
    let place = service.settings().endpoints.iter().position(|endpoint| endpoint.name == name)?;
    u16::try_from(place).ok().map(EndpointId)
}

/// A segment of a path without percent-encoding; what isn't encoded rightly stays as it is.
pub(crate) fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match encoded(rest) {
            Some(byte) => (byte, &rest[3..]),
            None => (*first, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that `%` and two digits stand for.
fn encoded(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// A word, or what a lane and its upstream are called.
const MOST_ORDER_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_may_be_encoded() {
        for (given, wanted) in
            [("a:80", "a:80"), ("a%3A80", "a:80"), ("a%2fb", "a/b"), ("50%", "50%"), ("%zz", "%zz")]
        {
            assert_eq!(decoded(given), wanted);
        }
    }
}
