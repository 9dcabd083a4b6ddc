//! The paths of the admin address.
//!
//! | path | what |
//! |---|---|
//! | `GET /healthz` | the process lives |
//! | `GET /readyz` | it takes requests: 200, or 503 while it drains; names upstreams that have no usable endpoint |
//! | `GET /status` | everything there is to show now (JSON) |
//! | `GET /connections`, `?upstream=U&endpoint=E` | each open connection to the upstreams |
//! | `GET /events` | what breaks and what is done about it, as it happens (server-sent events) |
//! | `GET /metrics` | for Prometheus |
//! | `GET /calls`, `?limit=N&outcome=O&upstream=U&code=C`, `GET /calls/ID` | the last broken calls |
//! | `GET /outbox`, `?state=S&upstream=U&after=N&limit=N`, `GET /outbox/ID` | stored writes |
//! | `POST /outbox/ID/retry`, `drop`, `settle` | what a person decides about one |
//! | `POST /reload` | read the file again |
//! | `POST /upstreams/U/endpoints/E/breaker` | `open`, `closed` or `auto` |

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mainstay_outbox::Totals;
use mainstay_record::{CallId, metrics_content_type};
use serde_json::{Value, json};

use super::guard::{self, Asked};
use super::{Reply, calls, connections, events, order, status, stored};
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;

/// Answers one request.
pub(super) async fn answer(
    control: &Arc<Control>,
    bound: SocketAddr,
    request: Request<Incoming>,
) -> Response<Reply> {
    let is_head = request.method() == Method::HEAD;
    let mut response = match admitted(control, bound, request).await {
        Ok(response) => response,
        Err(refusal) => problem(&Problem::of_refusal(refusal), refusal),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_head {
        *response.body_mut() = Reply::Whole(Bytes::new());
    }
    response
}

async fn admitted(
    control: &Arc<Control>,
    bound: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Refusal> {
    let current = control.shared.current();
    let admin = current.settings.admin.as_ref().ok_or(Refusal::NotFound)?;
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    guard::admit(
        Asked { method: &head.method, path: &path, headers: &head.headers },
        admin,
        bound,
    )?;
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        ["reload"] => {
            only(&head.method, &Method::POST)?;
            Ok(order::reload(control))
        }
        ["upstreams", upstream, "endpoints", endpoint, "breaker"] => {
            only(&head.method, &Method::POST)?;
            order::breaker(control, upstream, endpoint, body).await
        }
        ["outbox", ref rest @ ..] => {
            stored::answer(control, &head.method, rest, head.uri.query()).await
        }
        _ => {
            let totals = match segments[..] {
                ["status" | "metrics"] => stored::totals(control).await,
                _ => Vec::new(),
            };
            let page = read(control, &segments, head.uri.query(), &head.headers, &totals)?;
            if head.method == Method::HEAD {
                return Ok(page);
            }
            only(&head.method, &Method::GET)?;
            Ok(page)
        }
    }
}

fn read(
    control: &Arc<Control>,
    segments: &[&str],
    query: Option<&str>,
    headers: &http::HeaderMap,
    totals: &[Totals],
) -> Result<Response<Reply>, Refusal> {
    let recorder = &control.shared.recorder;
    match *segments {
        ["healthz"] => Ok(json(StatusCode::OK, &json!({ "status": "alive" }))),
        ["readyz"] => Ok(readiness(control)),
        ["connections"] => Ok(json(StatusCode::OK, &connections::document(control, query))),
        ["status"] => Ok(json(StatusCode::OK, &status::status(control, totals))),
        ["events"] => {
            Ok(whole("text/event-stream", Reply::Stream(events::stream(recorder.subscribe()))))
        }
        ["metrics"] => {
            let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
            let openmetrics =
                accepts.is_some_and(|accept| accept.contains("application/openmetrics-text"));
            let text = recorder.metrics_text(openmetrics, &status::snapshots(control, totals));
            Ok(whole(metrics_content_type(openmetrics), Reply::Whole(text.into())))
        }
        ["calls"] => Ok(match calls::document(control, query) {
            Ok(document) => json(StatusCode::OK, &document),
            Err(wrong) => answered(&Problem::of_filter(&wrong)),
        }),
        ["calls", id] => {
            let id: CallId = id.parse().map_err(|_| Refusal::NotFound)?;
            let call = recorder.find(id).ok_or(Refusal::NotFound)?;
            Ok(json(StatusCode::OK, &json!({ "version": 1, "call": call })))
        }
        _ => Err(Refusal::NotFound),
    }
}

/// A query's parameters, their percent-encoding undone. One without a value has an empty one.
pub(super) fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (order::decoded(name), order::decoded(value))).collect()
}

fn readiness(control: &Control) -> Response<Reply> {
    let ready = control.is_ready();
    let (status, word) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    };
    json(
        status,
        &json!({ "status": word, "upstreams_without_usable_endpoint": status::unusable(control) }),
    )
}

fn only(method: &Method, allowed: &Method) -> Result<(), Refusal> {
    match (method == allowed, *allowed == Method::GET) {
        (true, _) => Ok(()),
        (false, true) => Err(Refusal::MethodNotAllowed("GET, HEAD")),
        (false, false) => Err(Refusal::MethodNotAllowed("POST")),
    }
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Reply> {
    let mut response = whole("application/json", Reply::Whole(format!("{value}\n").into()));
    *response.status_mut() = status;
    response
}

fn whole(content_type: &'static str, reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer that a problem is.
pub(super) fn answered(problem: &Problem) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(problem.text().into()));
    *response.status_mut() = problem.status();
    *response.headers_mut() = problem.headers();
    response
}

fn problem(problem: &Problem, refusal: Refusal) -> Response<Reply> {
    let mut response = answered(problem);
    match refusal {
        Refusal::MethodNotAllowed(allowed) => {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        Refusal::Unauthorized => {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}
