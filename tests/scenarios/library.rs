//! The library in the proxy's place: a program that is asked by HTTP and calls out with it, in this very process.
//!
//! ```text
//!   load ──▶ the program's server ──▶ Mainstay, by the scenario's policy ──▶ the lab
//! ```
//!
//! The program does what any would do that passes answers on: a request becomes one of the library's, an answer is streamed back, an error
//! becomes a problem document with its code and certainty. It decides nothing. What is asked of the admin address is read from the library's
//! own recorder.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay::{Error, Mainstay, OtherHosts, Upstream};
use mainstay_core::breaker::BreakerState;
use mainstay_core::upstream::EndpointView;
use mainstay_record::RecordsOptions;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::stage::text;

/// A running program. It ends when this is dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    client: Mainstay,
    api: Upstream,
    serving: AbortHandle,
}

impl Program {
    /// Starts it by this policy.
    pub(crate) async fn start(config: &str) -> Result<Self, String> {
        let builder = Mainstay::builder().config_text(config, "the scenario's policy");
        let client = builder.other_hosts(OtherHosts::Refuse).build().map_err(text)?;
        client.recorder().keep_records(&RecordsOptions::default()).map_err(text)?;
        let api = client.upstream("api").ok_or("no upstream")?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let serving = tokio::spawn(serve(listener, api.clone())).abort_handle();
        Ok(Self { address, client, api, serving })
    }

    /// What the proxy's admin address would say at this path.
    pub(crate) fn told(&self, path: &str) -> Result<Value, String> {
        match path {
            "/status" => Ok(json!({
                "upstreams": [{ "endpoints": self.endpoints() }],
                "counts": self.client.recorder().counts(),
            })),
            "/calls" => Ok(json!({ "calls": self.client.recorder().recent() })),
            _ => Err(format!("the library has nothing at {path}")),
        }
    }

    fn endpoints(&self) -> Vec<Value> {
        let view = self.api.service().upstream().view(mainstay::Clock::now());
        let state = |state| match state {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen { .. } => "half-open",
        };
        let shown = |it: &EndpointView| {
            json!({
                "name": it.name,
                "healthy": it.healthy,
                "warm_percent": f64::from(it.warm.parts()) / 100.0,
                "breaker": { "state": state(it.breaker) },
            })
        };
        view.iter().map(shown).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, api: Upstream) {
    while let Ok((stream, _)) = listener.accept().await {
        // What it costs in time, and nothing else.
        let _ = stream.set_nodelay(true);
        let api = api.clone();
        let work = service_fn(move |request| answer(api.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), work);
        // It ends as the application ends it, or as a body breaks that is passed on.
        tokio::spawn(async move { connection.await.is_ok() });
    }
}

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

async fn answer(api: Upstream, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (mut head, body) = request.into_parts();
    for name in OF_A_CONNECTION {
        head.headers.remove(name);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut asked = api.request(head.method, target).headers(head.headers);
    match body.collect().await {
        Ok(body) => asked = asked.body(body.to_bytes()),
        Err(_) => return Ok(Response::new(whole(Bytes::new()))),
    }
    Ok(match asked.send().await {
        Ok(response) => {
            let (call, attempts) = (response.call_id().to_string(), response.attempts().len());
            let mut passed =
                Response::from(response).map(|body| body.map_err(Into::into).boxed_unsync());
            for name in OF_A_CONNECTION.iter().filter(|name| **name != header::CONTENT_LENGTH) {
                passed.headers_mut().remove(name);
            }
            mark(passed, Some(call), attempts)
        }
        Err(error) => problem(&error),
    })
}

fn problem(error: &Error) -> Response<Body> {
    let status = error.break_kind().map_or(502, |kind| kind.answer_status());
    let document = json!({ "break": error.break_code(), "certainty": error.certainty().code() });
    let mut response = Response::new(whole(document.to_string().into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let call = error.call_id().map(|call| call.to_string());
    mark(response, call, error.attempts().len())
}

/// Says of an answer what the proxy's say: the call, and how many attempts it has taken.
fn mark(mut response: Response<Body>, call: Option<String>, attempts: usize) -> Response<Body> {
    let call = call.and_then(|call| HeaderValue::try_from(call).ok());
    let fields = [(CALL_ID, call), (ATTEMPTS, Some(attempts.into()))];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    response.headers_mut().extend(fields);
    response
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

const CALL_ID: HeaderName = HeaderName::from_static("mainstay-call-id");
const ATTEMPTS: HeaderName = HeaderName::from_static("mainstay-attempts");

/// Fields that are of a connection and its framing, and of nobody beyond it.
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
];
