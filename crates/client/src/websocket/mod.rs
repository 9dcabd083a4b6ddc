//! WebSocket connections (RFC 6455) as streams and sinks of messages.
//!
//! ```text
//!   RequestBuilder::websocket ─▶ SocketRequest ─┬─ connect ─────▶ WebSocket: ends as its connection does
//!                                               └─ reconnecting ▶ ReconnectingSocket: is opened again, as far as was declared
//! ```
//!
//! The handshake is a call like any other, with its attempts, breaker and failover. What is said afterwards can be said again by nobody
//! but the application: no message is ever sent twice from here. A quiet connection is asked by a Ping, so that a dead one is found.
//!
//! Frames are read and written by tungstenite. What isn't here: extensions (compression), HTTP/2 (RFC 8441).

mod again;
mod message;
mod socket;
mod unread;

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use mainstay_core::heal::socket::SocketSettings;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub use again::{ReconnectingSocket, SocketEvent};
pub use message::{Close, Message};
pub use socket::WebSocket;
use unread::Counted;

use crate::{Error, Mainstay, Request, RequestBuilder};

impl RequestBuilder {
    /// Asks for a WebSocket connection in place of an answer. The URL is one of `ws`, `wss`, http or https.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; it has to be a GET without a body.
    pub fn websocket(self) -> Result<SocketRequest, Error> {
        let (client, request) = self.into_parts();
        let mut request = request?;
        let wrong = |text: &str| Error::wrong_request(text.to_owned(), None);
        if request.method() != Method::GET || !request.has_no_body() {
            return Err(wrong("a WebSocket connection is asked for by a GET without a body"));
        }
        request.map_url(plain)?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let (watch, send_timeout) = (SocketSettings::default(), SEND_TIMEOUT);
        Ok(SocketRequest { client, request, watch, send_timeout, message_limit: MESSAGE_LIMIT })
    }
}

/// `ws` is http, and `wss` https (RFC 6455, section 3).
fn plain(url: &Uri) -> Result<Uri, http::Error> {
    let scheme = match url.scheme_str() {
        Some("ws") => Scheme::HTTP,
        Some("wss") => Scheme::HTTPS,
        Some(_) | None => return Ok(url.clone()),
    };
    let mut parts = url.clone().into_parts();
    parts.scheme = Some(scheme);
    Uri::from_parts(parts).map_err(Into::into)
}

/// A WebSocket connection that is about to be asked for.
#[derive(Debug)]
#[must_use = "nothing is connected before `connect` or `reconnecting`"]
pub struct SocketRequest {
    client: Mainstay,
    request: Request,
    watch: SocketSettings,
    send_timeout: Duration,
    message_limit: usize,
}

impl SocketRequest {
    /// Subprotocols, the most wanted first. Which of them the server has chosen, [`WebSocket::protocol`] says.
    ///
    /// # Errors
    ///
    /// One that can't be in a header field.
    pub fn protocols(mut self, names: &[&str]) -> Result<Self, Error> {
        let value = HeaderValue::try_from(names.join(", ")).map_err(|error| {
            let text = "a subprotocol can't be in a header field".to_owned();
            Error::wrong_request(text, Some(error.into()))
        })?;
        self.request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        Ok(self)
    }

    /// A connection that was quiet for so long is sent a Ping; one that then says nothing at all within the other time is dead. Default 30 s and
    /// 10 s.
    pub fn ping(mut self, after: Duration, pong_within: Duration) -> Self {
        // "Forever" is a length that can't be added to a time.
        let (after, pong_within) = (after.min(LONGEST), pong_within.min(LONGEST));
        self.watch = SocketSettings { ping_after: Some(after), pong_within, ..self.watch };
        self
    }

    /// Without Pings: a connection whose server is gone without a word is then found dead by TCP alone, or never.
    pub fn without_pings(mut self) -> Self {
        self.watch.ping_after = None;
        self
    }

    /// How long the server may take nothing at all of what it is sent: then the connection is broken, and what waited for it, a
    /// [`say`](WebSocket::say) or a greeting, ends with an error. One that takes it slowly is waited for. Default 30 s.
    ///
    /// A server that answers as it reads, and whose answers nobody takes, reads no more either: who says much reads beside it.
    pub fn send_timeout(self, time: Duration) -> Self {
        Self { send_timeout: time.min(LONGEST), ..self }
    }

    /// The longest message that is taken, in bytes. A longer one ends the connection. Default 64 MiB.
    pub fn message_limit(self, bytes: usize) -> Self {
        Self { message_limit: bytes, ..self }
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// As [`Mainstay::execute`]; or the server didn't switch: the error has its status.
    pub async fn connect(self) -> Result<WebSocket, Error> {
        self.open().await
    }

    /// A connection that is opened again when it breaks, as far as the application declares that this is right. It is opened first when it is first polled.
    #[must_use]
    pub fn reconnecting(self) -> ReconnectingSocket {
        ReconnectingSocket::new(self)
    }

    /// Opens one; there may be others by the same request, each with a key of its own.
    async fn open(&self) -> Result<WebSocket, Error> {
        // It was seen that it has no body in pieces.
        let Some(mut request) = self.request.try_clone() else {
            return Err(Error::wrong_request("it can't be sent again".to_owned(), None));
        };
        let key = key()?;
        let wanted = accept(&key);
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, key);
        let asked = request.headers().clone();
        let mut response = self.client.execute(request).await?;
        let said = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        let agrees = said.is_some_and(|said| said.as_bytes() == wanted.as_bytes())
            && agrees(&asked, response.headers());
        let upgrade = response.take_upgrade();
        let upgrade = upgrade.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        let (Some(upgrade), true) = (upgrade, agrees) else {
            return Err(response.not_switched());
        };
        let protocol = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        let protocol = protocol.and_then(|name| name.to_str().ok()).map(str::to_owned);
        let Ok(upgraded) = upgrade.await else { return Err(response.not_switched()) };
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.message_limit))
            .max_frame_size(Some(self.message_limit));
        let io = Counted::new(TokioIo::new(upgraded));
        let frames = WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await;
        let times = (self.watch, self.send_timeout);
        Ok(WebSocket::new(frames, response.into_body(), protocol, times))
    }
}

/// Sixteen bytes of chance (RFC 6455, section 4.1).
fn key() -> Result<HeaderValue, Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|error| {
        let text = "the system gives no randomness".to_owned();
        Error::wrong_request(text, Some(error.into()))
    })?;
    HeaderValue::try_from(STANDARD.encode(bytes))
        .map_err(|error| Error::wrong_request("the key isn't text".to_owned(), Some(error.into())))
}

/// What a server makes of a key (RFC 6455, section 4.2.2).
fn accept(key: &HeaderValue) -> String {
    let mut text = key.as_bytes().to_vec();
    text.extend_from_slice(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

/// Whether the server has chosen nothing that wasn't asked for (RFC 6455, section 4.1): of subprotocols one that was, of extensions none, since
/// none is asked for.
fn agrees(asked: &HeaderMap, answered: &HeaderMap) -> bool {
    let mut chosen = answered.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let is_asked = |name: &HeaderValue| {
        let asked = asked.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let mut names = asked.flat_map(|names| names.as_bytes().split(|byte| *byte == b','));
        names.any(|one| one.trim_ascii() == name.as_bytes().trim_ascii())
    };
    let protocol_is_asked = chosen.next().is_none_or(is_asked) && chosen.next().is_none();
    protocol_is_asked && !answered.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
}

/// Longer than any connection.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A server that is alive reads within seconds, and one that is restarted is gone within them.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// As much as a program takes by default; what frames is told by the peer.
const MESSAGE_LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_standard_has_it() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn ws_is_http_and_what_is_no_get_is_refused() {
        assert_eq!(plain(&Uri::from_static("wss://a/b?c")).unwrap(), "https://a/b?c");
        assert_eq!(plain(&Uri::from_static("/b")).unwrap(), "/b");
        let client = Mainstay::new();
        assert!(client.post("ws://a/").websocket().unwrap_err().is_builder());
        assert!(client.get("ws://a/").body("x").websocket().unwrap_err().is_builder());
    }

    #[test]
    fn a_server_chooses_among_what_was_asked_for() {
        let of = |name: header::HeaderName, values: &[&'static str]| {
            let values = values.iter().map(|value| HeaderValue::from_static(value));
            values.map(|value| (name.clone(), value)).collect::<HeaderMap>()
        };
        let check = |asked: &[&'static str], chosen: &[&'static str], wanted: bool| {
            let protocol = header::SEC_WEBSOCKET_PROTOCOL;
            assert_eq!(agrees(&of(protocol.clone(), asked), &of(protocol, chosen)), wanted);
        };
        check(&["a, b"], &["b"], true);
        check(&["a, b"], &[], true);
        check(&["a, b"], &["B"], false);
        check(&["a, b"], &["a", "b"], false);
        check(&[], &["a"], false);
        let compressed = of(header::SEC_WEBSOCKET_EXTENSIONS, &["permessage-deflate"]);
        assert!(!agrees(&HeaderMap::new(), &compressed));
        let ping = Mainstay::new().get("ws://a/").websocket().unwrap();
        assert_eq!(ping.ping(Duration::MAX, Duration::MAX).watch.ping_after, Some(LONGEST));
    }
}
