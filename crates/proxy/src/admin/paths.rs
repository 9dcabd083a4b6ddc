//! The paths of the admin address.
//!
//! | path | what |
//! |---|---|
//! | `GET /`, `GET /dashboard/*` | the dashboard's files, without data |
//! | `GET /healthz` | the process lives |
//! | `GET /readyz` | it takes requests: 200, or 503 while it drains; names upstreams that have no usable endpoint |
//! | `GET /status` | everything there is to show now (JSON) |
//! | `GET /connections`, `?upstream=U&endpoint=E` | each open connection to the upstreams |
//! | `GET /live` | everything to be seen now and what becomes of it (server-sent events) |
//! | `GET /timeline`, `?upstream=U&endpoint=E&from=MS&to=MS&fields=F` | the last hour |
//! | `GET /incidents`, `?state=S&upstream=U&limit=N&past=B`, `GET /incidents/ID`, `?calls=N` | what broke, since when, what it cost |
//! | `GET /events` | what breaks and what is done about it, as it happens (server-sent events) |
//! | `GET /metrics` | for Prometheus |
//! | `GET /calls`, `?limit=N&outcome=O&upstream=U&code=C`, `GET /calls/ID` | the last broken calls |
//! | `GET /outbox`, `?state=S&upstream=U&after=N&limit=N`, `GET /outbox/ID` | stored writes |
//! | `POST /outbox/ID/retry`, `drop`, `settle` | what a person decides about one |
//! | `GET /outbox/lanes`, `POST /outbox/lanes/release` | lanes that a stopped one holds |
//! | `GET /log`, `PUT /log` | what is logged and how, and other settings for it |
//! | `POST /reload` | read the file again |
//! | `POST /upstreams/U/endpoints/E/order` | `drain`, `open`, `closed` or `auto` |
//! | `POST /upstreams/U/endpoints/E/breaker` | the same without `drain` |

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mainstay::Clock;
use mainstay_core::upstream::Order;
use mainstay_outbox::Totals;
use mainstay_record::{CallId, Timeline, TimelineFilter, WrongFilter, metrics_content_type};
use serde_json::{Value, json};

use super::guard::{self, Asked, Orderer};
use super::{Reply, calls, connections, events, incidents, live, log, order, page, status, stored};
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;

/// Answers one request.
pub(super) async fn answer(
    control: &Arc<Control>,
    (bound, peer): (SocketAddr, SocketAddr),
    request: Request<Incoming>,
) -> Response<Reply> {
    let is_head = request.method() == Method::HEAD;
    let mut response = match admitted(control, (bound, peer), request).await {
        Ok(response) => response,
        Err(refusal) => problem(&Problem::of_refusal(refusal), refusal),
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_head {
        *response.body_mut() = Reply::Whole(Bytes::new());
    }
    response
}

async fn admitted(
    control: &Arc<Control>,
    (bound, peer): (SocketAddr, SocketAddr),
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
    let orderer = Orderer::of(peer, &head.headers);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        ["reload"] => {
            only(&head.method, &Method::POST)?;
            Ok(order::reload(control, &orderer))
        }
        ["upstreams", upstream, "endpoints", endpoint, "breaker"] => {
            only(&head.method, &Method::POST)?;
            let words = [Order::Open, Order::Closed, Order::Auto];
            order::endpoint(control, &orderer, (upstream, endpoint), &words, body).await
        }
        ["upstreams", upstream, "endpoints", endpoint, "order"] => {
            only(&head.method, &Method::POST)?;
            order::endpoint(control, &orderer, (upstream, endpoint), &Order::ALL, body).await
        }
        ["log"] => log::answer(control, &orderer, &head.method, body).await,
        ["outbox", ref rest @ ..] => stored::answer(control, &orderer, &head, rest, body).await,
        _ => {
            let totals = match segments[..] {
                ["status" | "metrics"] => stored::totals(&control.shared).await,
                _ => None,
            };
            let page =
                read(control, &segments, head.uri.query(), &head.headers, totals.as_deref())?;
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
    totals: Option<&[Totals]>,
) -> Result<Response<Reply>, Refusal> {
    let recorder = &control.shared.recorder;
    match *segments {
        [""] => page::answer("/", headers),
        ["dashboard", name] => page::answer(&format!("/dashboard/{name}"), headers),
        ["healthz"] => Ok(json(StatusCode::OK, &json!({ "status": "alive" }))),
        ["readyz"] => Ok(readiness(control, guard::may_see(control, headers))),
        ["connections"] => Ok(json(StatusCode::OK, &connections::document(control, query))),
        ["status"] => Ok(json(StatusCode::OK, &status::status(control, totals))),
        ["live"] => Ok(whole("text/event-stream", Reply::Stream(live::stream(control, headers)))),
        ["timeline"] => Ok(match timeline(control, query) {
            Ok(timeline) => json(StatusCode::OK, &json!(timeline)),
            Err(wrong) => answered(&Problem::of_filter(&wrong)),
        }),
        ["incidents"] => Ok(match incidents::list(control, query) {
            Ok(document) => json(StatusCode::OK, &document),
            Err(wrong) => answered(&Problem::of_filter(&wrong)),
        }),
        ["incidents", id] => Ok(match incidents::detail(control, id, query) {
            Ok(document) => json(StatusCode::OK, &document.ok_or(Refusal::NotFound)?),
            Err(wrong) => answered(&Problem::of_filter(&wrong)),
        }),
        ["events"] => {
            Ok(whole("text/event-stream", Reply::Stream(events::stream(recorder.subscribe()))))
        }
        ["metrics"] => {
            let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
            let openmetrics =
                accepts.is_some_and(|accept| accept.contains("application/openmetrics-text"));
            let text =
                recorder.metrics_text(openmetrics, &status::snapshots(&control.shared, totals));
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

/// The last hour, as far as `query` asks for it.
fn timeline(control: &Control, query: Option<&str>) -> Result<Timeline, WrongFilter> {
    let parameters = parameters(query);
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let filter = TimelineFilter::of(pairs)?;
    control.shared.recorder.timeline(&filter, Clock::now())
}

/// A query's parameters, their percent-encoding undone. One without a value has an empty one.
pub(super) fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (order::decoded(name), order::decoded(value))).collect()
}

/// Whether it takes requests, and for those who may see data, which upstreams have nobody to ask.
fn readiness(control: &Control, may_see: bool) -> Response<Reply> {
    let ready = control.is_ready();
    let (status, word) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    };
    let mut document = json!({ "status": word });
    if may_see {
        document["upstreams_without_usable_endpoint"] = status::unusable(control).into();
    }
    json(status, &document)
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
