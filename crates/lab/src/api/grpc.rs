//! gRPC calls: any method of any service answers with one message, the echo as JSON, and its status in trailers.
//!
//! What isn't carried out is told as gRPC tells it: by a status of its own in the head, and HTTP's 200.

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::{Reply, Request};
use crate::site::Site;

impl Request {
    pub(crate) fn is_grpc(&self) -> bool {
        let kind = self.text(header::CONTENT_TYPE.as_str());
        kind.is_some_and(|kind| kind.starts_with(CONTENT_TYPE))
    }
}

/// What `grpc.health.v1.Health/Check` says, in its own numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Health {
    Serving = 1,
    NotServing = 2,
}

/// The answer to a health check: a message of which field 1 is the state.
pub(crate) fn health(state: Health) -> Reply {
    one(&[8, state as u8])
}

/// One message, and that all is well.
pub(super) fn answer(site: &Site, request: &Request, number: u64) -> Reply {
    if request.path == HEALTH_CHECK {
        return health(Health::Serving);
    }
    let message = json!({
        "server": site.name,
        "method": request.method.as_str(),
        "path": request.path,
        "id": request.id(),
        "number": number,
    });
    one(message.to_string().as_bytes())
}

fn one(message: &[u8]) -> Reply {
    // Not compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    let mut reply = Reply::new(StatusCode::OK, CONTENT_TYPE, body);
    reply.trailers.insert(STATUS, HeaderValue::from_static("0"));
    reply
}

/// What an HTTP status says, in gRPC's numbers.
pub(crate) fn refusal(status: StatusCode, why: &str) -> Reply {
    let code = match status.as_u16() {
        408 | 504 => "4",
        429 => "8",
        502 | 503 => "14",
        _ => "13",
    };
    let mut reply = Reply::new(StatusCode::OK, CONTENT_TYPE, "");
    reply.headers.insert(STATUS, HeaderValue::from_static(code));
    if let Ok(why) = HeaderValue::from_str(why) {
        reply.headers.insert("grpc-message", why);
    }
    reply
}

/// The path of a health check.
pub(crate) const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

const CONTENT_TYPE: &str = "application/grpc";
const STATUS: &str = "grpc-status";
