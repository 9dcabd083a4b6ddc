//! One call of a load.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Events, Load, content};

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
    /// Whether a whole answer below 400 is what the lab answers to such a request, byte by byte where that is known.
    pub is_right: Option<bool>,
    /// The status of a gRPC call that was answered.
    pub grpc: Option<u32>,
}

impl CallResult {
    /// Whether it is what the application wanted: as [`Ended::is_good`], and a gRPC call is good by its own status.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.ended.is_good() && self.grpc.unwrap_or(0) == 0
    }
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
pub(super) struct Connections(Vec<Mutex<Vec<Connection>>>);

/// A connection to an address. One of HTTP/2 is shared by all calls.
#[derive(Debug)]
enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connections {
    pub(super) fn new(addresses: usize) -> Self {
        Self((0..addresses).map(|_| Mutex::default()).collect())
    }

    fn take(&self, place: usize) -> Option<Connection> {
        let mut kept = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        // A connection that the server has closed meanwhile is no use, and every client library looks.
        while let Some(connection) = kept.pop() {
            match connection {
                Connection::Http1(one) if one.is_ready() => return Some(Connection::Http1(one)),
                Connection::Http2(all) if all.is_ready() => {
                    kept.push(Connection::Http2(all.clone()));
                    return Some(Connection::Http2(all));
                }
                Connection::Http1(_) | Connection::Http2(_) => {}
            }
        }
        None
    }

    fn put(&self, place: usize, connection: Connection) {
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

impl Connection {
    async fn open(to: SocketAddr, is_http2: bool) -> Result<Self, Unopened> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        if is_http2 {
            let (connection, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(driver);
            return Ok(Self::Http2(connection));
        }
        let (connection, driver) = http1::handshake(stream).await?;
        tokio::spawn(driver);
        Ok(Self::Http1(connection))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(one) => one.send_request(request).await,
            Self::Http2(all) => all.send_request(request).await,
        }
    }
}

type Unopened = Box<dyn std::error::Error + Send + Sync>;

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
        is_right: None,
        grpc: None,
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
        None => match Connection::open(load.to[place], load.http2).await {
            Ok(fresh) => fresh,
            Err(_) => return Ended::NotConnected,
        },
    };
    if let Connection::Http2(all) = &connection {
        connections.put(place, Connection::Http2(all.clone()));
    }
    let Ok(answer) = connection.send(request(load, place, result)).await else {
        return Ended::Broken;
    };
    let (head, body) = answer.into_parts();
    let status = head.status;
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    result.call_id = text("mainstay-call-id").map(str::to_owned);
    result.attempts = text("mainstay-attempts").and_then(|count| count.parse().ok());
    let is_problem = text("content-type") == Some("application/problem+json");
    let is_stream = text("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let is_grpc = text("content-type").is_some_and(|kind| kind.starts_with("application/grpc"));
    let Read { body, trailers, is_whole } = read(body).await;
    if is_stream {
        result.events = Some(Events::read(&body));
    }
    if !is_whole {
        return Ended::Incomplete;
    }
    if is_problem {
        result.problem = problem(&body);
    }
    if is_grpc {
        let status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
        // A call that ends without a status is UNKNOWN (2), as gRPC's own clients have it.
        let known = status.and_then(|status| status.to_str().ok()?.parse().ok());
        result.grpc = Some(known.unwrap_or(2));
    }
    if status.as_u16() < 400 && result.grpc.unwrap_or(0) == 0 {
        result.is_right = content::is_right(load, result, &body);
    }
    if let Connection::Http1(mut one) = connection
        && one.ready().await.is_ok()
    {
        connections.put(place, Connection::Http1(one));
    }
    Ended::Answered { status, body_bytes: body.len() }
}

/// What came of a body, and whether that is all.
#[derive(Default)]
struct Read {
    body: Vec<u8>,
    trailers: HeaderMap,
    is_whole: bool,
}

async fn read(mut incoming: Incoming) -> Read {
    let mut read = Read::default();
    while let Some(frame) = incoming.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => read.body.extend_from_slice(&data),
            Ok(Err(frame)) => read.trailers = frame.into_trailers().unwrap_or_default(),
            Err(_) => return read,
        }
    }
    Read { is_whole: true, ..read }
}

fn request(load: &Load, place: usize, result: &CallResult) -> Request<Full<Bytes>> {
    let has_body = matches!(result.method, Method::POST | Method::PUT | Method::PATCH);
    let body = if has_body { load.body.clone() } else { Bytes::new() };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = result.method.clone();
    // HTTP/2 takes its authority from the target.
    let target = match load.http2 {
        true => format!("http://{}{}", load.to[place], load.path),
        false => load.path.clone(),
    };
    *request.uri_mut() = target.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.extend(load.headers.iter().cloned());
    let host = (header::HOST, load.to[place].to_string());
    let host = (!load.http2).then_some(host);
    for (name, value) in host.into_iter().chain([(ID, result.id.clone())]) {
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
