//! What can be ordered: reading the file again, and holding a breaker open or closed.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use mainstay::{Clock, Service};
use mainstay_core::EndpointId;
use mainstay_core::breaker::Forced;
use serde_json::json;

use super::Reply;
use super::paths::json;
use crate::error::ReloadError;
use crate::problem::Refusal;
use crate::proxy::Control;

/// Reads the file again.
pub(super) fn reload(control: &Control) -> Response<Reply> {
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

/// Holds the breakers of an endpoint open or closed, or lets them follow what they see again.
pub(super) async fn breaker(
    control: &Control,
    upstream: &str,
    endpoint: &str,
    body: Incoming,
) -> Result<Response<Reply>, Refusal> {
    let current = control.shared.current();
    let (upstream, endpoint) = (decoded(upstream), decoded(endpoint));
    let service = current.service(&upstream).ok_or(Refusal::NoSuchEndpoint)?;
    let id = endpoint_id(service, &endpoint).ok_or(Refusal::NoSuchEndpoint)?;
    let body = Limited::new(body, MOST_ORDER_BYTES).collect().await;
    let body =
        body.map_err(|_| Refusal::BadOrder("The order can't be read, or is too long."))?.to_bytes();
    let order = match body.trim_ascii() {
        b"open" => Forced::Open,
        b"closed" => Forced::Closed,
        b"auto" => Forced::No,
        _ => return Err(Refusal::BadOrder("Allowed are open, closed and auto.")),
    };
    let now = Clock::now();
    for event in service.upstream().force(id, order, now) {
        service.recorder().on_upstream_event(now, event);
    }
    let order = String::from_utf8_lossy(body.trim_ascii());
    tracing::info!(upstream, endpoint, %order, "a breaker was ordered");
    Ok(json(
        StatusCode::OK,
        &json!({ "upstream": upstream, "endpoint": endpoint, "breaker": order }),
    ))
}

fn endpoint_id(service: &Arc<Service>, name: &str) -> Option<EndpointId> {
    let place = service.settings().endpoints.iter().position(|endpoint| endpoint.name == name)?;
    u16::try_from(place).ok().map(EndpointId)
}

/// A segment of a path without percent-encoding; what isn't encoded rightly stays as it is.
pub(super) fn decoded(segment: &str) -> String {
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

/// A word.
const MOST_ORDER_BYTES: usize = 64;

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
