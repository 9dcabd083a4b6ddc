//! One call of a load.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Events, Load};

/// How one call of a load ended.
#[derive(Clone, Debug)]
pub struct CallResult {
    /// Its request id.
    pub id: String,
    /// Its method.
    pub method: Method,
    /// When it was due, counted from the load's start.
    pub due_after: Duration,
    /// From when it was due to its end.
    pub took: Duration,
    /// How it ended.
    pub ended: Ended,
    /// What the answer's `mainstay-call-id` said.
    pub call_id: Option<String>,
    /// What the answer's `mainstay-attempts` said.
    pub attempts: Option<u32>,
    /// What the problem document of a given-up call said: its `break` and its `certainty`.
    pub problem: Option<(String, String)>,
    /// What came of an event stream, broken or not.
    pub events: Option<Events>,
}

/// The end of a call, as its application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A whole answer.
    Answered {
        /// Its status.
        status: StatusCode,
        /// Bytes of its body.
        body_bytes: usize,
    },
    /// No connection.
    NotConnected,
    /// The connection broke before the head of an answer.
    Broken,
    /// The answer's body broke.
    Incomplete,
    /// Not over within the application's timeout.
    TimedOut,
}

impl Ended {
    /// Whether it is what the application wanted: a whole answer that is no server error.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Answered { status, .. } if status.as_u16() < 400)
    }
}

/// Kept connections, for each address.
#[derive(Debug)]
pub(super) struct Connections(Vec<Mutex<Vec<SendRequest<Full<Bytes>>>>>);

impl Connections {
    pub(super) fn new(addresses: usize) -> Self {
        Self((0..addresses).map(|_| Mutex::default()).collect())
    }

    fn take(&self, place: usize) -> Option<SendRequest<Full<Bytes>>> {
        let mut kept = self.0[place].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A connection that the server has closed meanwhile is no use, and every client library looks.
        while let Some(connection) = kept.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, place: usize, connection: SendRequest<Full<Bytes>>) {
        self.0[place].lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(connection);
    }
}

/// Makes call `number`, which was due at `due`.
pub(super) async fn make(
    load: &Load,
    number: usize,
    due: Instant,
    connections: &Connections,
) -> CallResult {
    let method = load.methods[number % load.methods.len().max(1)].clone();
    let id = format!("{}-{number}", load.id_prefix);
    let mut result = CallResult {
        id,
        method,
        due_after: Duration::ZERO,
        took: Duration::ZERO,
        ended: Ended::TimedOut,
        call_id: None,
        attempts: None,
        problem: None,
        events: None,
    };
    let place = number % load.to.len();
    let calling = exchange(load, place, connections, &mut result);
    let ended = timeout_at(due + load.timeout, calling).await.unwrap_or(Ended::TimedOut);
    CallResult { ended, took: due.elapsed(), ..result }
}

async fn exchange(
    load: &Load,
    place: usize,
    connections: &Connections,
    result: &mut CallResult,
) -> Ended {
    let mut connection = match connections.take(place) {
        Some(kept) => kept,
        None => match connect(load.to[place]).await {
            Ok(fresh) => fresh,
            Err(_) => return Ended::NotConnected,
        },
    };
    let Ok(answer) = connection.send_request(request(load, place, result)).await else {
        return Ended::Broken;
    };
    let status = answer.status();
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    result.call_id = text("mainstay-call-id").map(str::to_owned);
    result.attempts = text("mainstay-attempts").and_then(|count| count.parse().ok());
    let is_problem = text("content-type") == Some("application/problem+json");
    let is_stream = text("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let (body, is_whole) = read(answer.into_body()).await;
    if is_stream {
        result.events = Some(Events::read(&body));
    }
    if !is_whole {
        return Ended::Incomplete;
    }
    if is_problem {
        result.problem = problem(&body);
    }
    if connection.ready().await.is_ok() {
        connections.put(place, connection);
    }
    Ended::Answered { status, body_bytes: body.len() }
}

/// What came of a body, and whether that is all.
async fn read(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (all, false),
        }
    }
    (all, true)
}

async fn connect(
    to: SocketAddr,
) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(connection)
}

fn request(load: &Load, place: usize, result: &CallResult) -> Request<Full<Bytes>> {
    let has_body = matches!(result.method, Method::POST | Method::PUT | Method::PATCH);
    let body = if has_body { load.body.clone() } else { Bytes::new() };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = result.method.clone();
    *request.uri_mut() = load.path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.extend(load.headers.iter().cloned());
    for (name, value) in [(header::HOST, load.to[place].to_string()), (ID, result.id.clone())] {
        if let Ok(value) = http::HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    request
}

/// The field by which the oracle knows a request.
const ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

fn problem(body: &[u8]) -> Option<(String, String)> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| value.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    Some((text("break")?, text("certainty")?))
}
