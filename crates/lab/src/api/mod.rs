//! The healthy API: what a request gets when nothing is broken.
//!
//! | request | answer |
//! |---|---|
//! | GET, HEAD any path | 200, JSON: server, method, path, request id, number |
//! | POST; PUT, PATCH, DELETE | 201; 200, the same with the body's length and its FNV-1a checksum |
//! | GET `/bytes/N` | N bytes of [`pattern_byte`], a strong ETag, ranges (`Range`, `If-Range`, `If-Match`); see `content.rs` |
//! | GET `/events?count=&every=` | server-sent events with ids, from `Last-Event-ID` on; see `events.rs` |
//! | `/v1/chat/completions`, `/v1/messages` | as language models answer, streamed or whole; see `llm.rs` |
//! | POST of `application/grpc` | one message, the echo, and `grpc-status: 0` in trailers |
//! | any `/trailers` | as the echo, chunked, with the checksum and the request's trailers as trailers |
//! | `/healthz` | 200 "ok", never counted as an execution |
//! | `Upgrade: echo` | 101, then every byte comes back (HTTP/1.1) |
//! | `Upgrade: websocket`, `?no-pong` | 101, then every message comes back; pings get no answer |

mod content;
mod events;
pub(crate) mod grpc;
mod llm;
mod source;
mod upgrade;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

pub(crate) use content::Twist;
pub(crate) use source::{PIECE_BYTES, Source};
pub use source::{pattern_byte, seeded_byte};
pub(crate) use upgrade::Protocol;

use crate::rng::{FNV_OFFSET, fnv1a};
use crate::site::{HEALTH_PATH, Site};

/// A request whose body has been read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// What is kept of a body: enough to tell whether it arrived.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) length: u64,
    pub(crate) checksum: u64,
    pub(crate) trailers: HeaderMap,
    /// Its first bytes, for those who read it; mostly none.
    pub(crate) kept: Vec<u8>,
    keeps_bytes: usize,
}

impl Default for Body {
    fn default() -> Self {
        Self::keeping(0)
    }
}

impl Body {
    /// An empty one that will keep so many bytes.
    pub(crate) fn keeping(keeps_bytes: usize) -> Self {
        let (checksum, trailers) = (FNV_OFFSET, HeaderMap::new());
        Self { length: 0, checksum, trailers, kept: Vec::new(), keeps_bytes }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.checksum = fnv1a(self.checksum, bytes);
        let room = self.keeps_bytes - self.kept.len();
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }
}

impl Request {
    /// Splits a request target; of an absolute one, only the path is of interest.
    pub(crate) fn new(method: Method, uri: &http::Uri, headers: HeaderMap) -> Self {
        let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
        // Language models are asked for a stream in the body.
        let is_read = ["/v1/", "/llm/"].iter().any(|prefix| path.starts_with(prefix));
        let body = Body::keeping(if is_read { READ_LIMIT_BYTES } else { 0 });
        Self { method, path, query, headers, body }
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.text("x-request-id")
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of `name=value` in the query; empty for a bare `name`.
    fn query(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }
}

/// Whether a comma-separated header contains this word.
pub(crate) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// An answer before it is broken.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) source: Source,
    /// Without a content-length, even if the length is known.
    pub(crate) chunked: bool,
    pub(crate) trailers: HeaderMap,
    /// The head is that of the whole answer, the body isn't sent.
    pub(crate) is_to_head: bool,
    /// The connection is an echo afterwards.
    pub(crate) upgrade: Option<Protocol>,
}

impl Reply {
    pub(crate) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers,
            source: Source::Bytes(body.into()),
            chunked: false,
            trailers: HeaderMap::new(),
            is_to_head: false,
            upgrade: None,
        }
    }

    pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", format!("{body}\n"))
    }

    /// A plain answer for a request that isn't carried out.
    pub(crate) fn error(status: StatusCode, why: &str) -> Self {
        Self::json(status, &json!({ "status": status.as_u16(), "error": why }))
    }

    /// Sets a header to a value that can be one.
    pub(crate) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    /// Says how long the body is, if that is to be said; the body is dropped if it isn't to be sent.
    pub(crate) fn seal(&mut self) {
        if self.source.left().is_none() || !self.trailers.is_empty() {
            self.chunked = true;
        }
        if !self.chunked && self.upgrade.is_none() {
            let length = self.source.left().unwrap_or_default();
            self.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if self.is_to_head {
            self.source = Source::empty();
        }
    }
}

/// The answer to a request of a method that has no meaning here, which isn't carried out.
pub(crate) fn refusal(request: &Request) -> Option<Reply> {
    let method = request.method.as_str();
    if ALLOWED.split(", ").any(|allowed| allowed == method) {
        return None;
    }
    let why = format!("{method} isn't spoken here");
    let mut reply = Reply::error(StatusCode::METHOD_NOT_ALLOWED, &why);
    // A 405 must say it (RFC 9110, section 15.5.6).
    reply.headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    Some(reply)
}

/// The answer to a request that has been carried out as the server's `number`th.
pub(crate) fn answer(site: &Site, request: &Request, number: u64, twist: Twist) -> Reply {
    let mut reply = match request.upgrade() {
        Some(protocol) => upgrade::answer(request, protocol),
        None => resource(site, request, number, twist),
    };
    reply.is_to_head = request.method == Method::HEAD;
    reply
}

fn resource(site: &Site, request: &Request, number: u64, twist: Twist) -> Reply {
    if request.is_grpc() {
        return grpc::answer(site, request, number);
    }
    match request.path.as_str() {
        HEALTH_PATH => Reply::new(StatusCode::OK, "text/plain", "ok"),
        "/events" => events::answer(site, request),
        path => match path.strip_prefix("/bytes/").map(str::parse::<u64>) {
            Some(Ok(length)) if length <= BYTES_LIMIT => {
                content::answer(request, length, number, twist)
            }
            Some(_) => {
                let why = format!("/bytes/N takes a whole number up to {BYTES_LIMIT}");
                Reply::error(StatusCode::NOT_FOUND, &why)
            }
            None => llm::answer(request, number).unwrap_or_else(|| echo(site, request, number)),
        },
    }
}

fn echo(site: &Site, request: &Request, number: u64) -> Reply {
    let checksum = format!("{:016x}", request.body.checksum);
    let has_effect = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE");
    let mut body = json!({
        "server": site.name,
        "method": request.method.as_str(),
        "path": request.path,
        "id": request.id(),
        "number": number,
    });
    if has_effect || request.body.length > 0 {
        body["bytes"] = request.body.length.into();
        body["fnv1a"] = checksum.as_str().into();
    }
    let status = if request.method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
    let mut reply = Reply::json(status, &body);
    if request.path == "/trailers" {
        reply.trailers = request.body.trailers.clone();
        if let Ok(value) = HeaderValue::from_str(&checksum) {
            reply.trailers.insert("x-checksum", value);
        }
        reply.headers.insert(header::TRAILER, HeaderValue::from_static("x-checksum"));
    }
    reply
}

const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A long conversation without pictures.
const READ_LIMIT_BYTES: usize = 1 << 20;

/// A thousand gigabytes: the bytes cost no memory, and more isn't read by any test.
const BYTES_LIMIT: u64 = 1 << 40;
