//! A peer that does what a test says, byte by byte, and a target that points at it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses a part of its own; a test that can't go on has failed"
)]

pub mod plan;
pub mod tls;
pub mod told;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use mainstay::Outgoing;
use mainstay::body::{Replay, ReplayLimits, Source, Store};
use mainstay::pool::{AnswerBody, AnswerError, Broken, Counts, Target};
use mainstay_config::settings::{ConnectSettings, Endpoint, Scheme};
use mainstay_core::{Break, BreakKind, Certainty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listening socket, and how to reach it.
pub struct Peer {
    pub listener: TcpListener,
    pub address: SocketAddr,
}

impl Peer {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub async fn accept(&self) -> Conversation {
        Conversation { stream: self.listener.accept().await.unwrap().0, read: Vec::new() }
    }

    pub fn target(&self) -> Arc<Target> {
        self.target_with(ConnectSettings::default())
    }

    pub fn target_with(&self, settings: ConnectSettings) -> Arc<Target> {
        Target::new(&endpoint(Scheme::Http, "127.0.0.1", self.address.port()), &settings).unwrap()
    }
}

pub fn endpoint(scheme: Scheme, host: &str, port: u16) -> Endpoint {
    Endpoint {
        name: format!("{host}:{port}"),
        scheme,
        host: host.to_owned(),
        port,
        base_path: String::new(),
    }
}

/// One accepted connection.
pub struct Conversation {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Conversation {
    /// The next head, up to its empty line.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let more = self.stream.read_buf(&mut self.read).await.unwrap();
            assert!(more > 0, "the connection ended within a head: {:?}", self.read);
        }
    }

    /// The next head; nothing when the connection ends before it begins.
    pub async fn next_head(&mut self) -> Option<String> {
        while self.read.is_empty() {
            if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                return None;
            }
        }
        Some(self.head().await)
    }

    /// The next bytes of a body.
    pub async fn body(&mut self, bytes: usize) -> Vec<u8> {
        while self.read.len() < bytes {
            assert!(
                self.stream.read_buf(&mut self.read).await.unwrap() > 0,
                "the connection ended within a body"
            );
        }
        self.read.drain(..bytes).collect()
    }

    /// What is still to come until the other side ends the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        // A reset is an end like every other.
        let _ = self.stream.read_to_end(&mut self.read).await;
        std::mem::take(&mut self.read)
    }

    pub async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads frames of HTTP/2 until one of the wanted type has come.
    pub async fn frame(&mut self, wanted: u8) {
        loop {
            let head = self.body(9).await;
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            self.body(length).await;
            if head[3] == wanted {
                return;
            }
        }
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Waits until the other side has ended the connection.
    pub async fn ended(&mut self) {
        self.rest().await;
    }
}

pub fn get() -> Request<Outgoing> {
    request(Method::GET, "")
}

pub fn request(method: Method, body: &'static str) -> Request<Outgoing> {
    let limits = ReplayLimits { kept_bytes: 1 << 20, ..ReplayLimits::default() };
    let body = Replay::new(
        Source::Full(Bytes::from_static(body.as_bytes())),
        limits,
        &Store::new(1 << 20),
    );
    let request = Request::builder().method(method).uri("/path?query").header("host", "peer.test");
    request.body(body.outgoing(None)).unwrap()
}

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

/// How an exchange broke.
#[derive(Debug)]
pub enum Failed {
    Head(Broken),
    Body(AnswerError),
}

/// Makes one exchange over a kept connection, or a new one.
pub async fn exchange(target: &Arc<Target>, request: Request<Outgoing>) -> Result<Whole, Failed> {
    let response = send(target, request).await.map_err(Failed::Head)?;
    read(response).await.map_err(Failed::Body)
}

pub async fn send(
    target: &Arc<Target>,
    request: Request<Outgoing>,
) -> Result<Response<AnswerBody>, Broken> {
    target.lease(false).await?.send(request).await
}

pub async fn read(response: Response<AnswerBody>) -> Result<Whole, AnswerError> {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(Whole { status: parts.status, headers: parts.headers, body: collected.to_bytes(), trailers })
}

#[track_caller]
pub fn assert_broken<T: std::fmt::Debug>(
    result: Result<T, Failed>,
    kind: BreakKind,
    certainty: Certainty,
) {
    let broken = match result {
        Ok(whole) => panic!("expected {kind:?}, got {whole:?}"),
        Err(broken) => broken,
    };
    let what = match &broken {
        Failed::Head(broken) => broken.what,
        Failed::Body(error) => error.what,
    };
    assert_eq!(what, Break::new(kind, certainty), "{broken:?}");
}

/// Waits until the target's counts are as wanted: a connection counts until its task has closed its socket.
pub async fn until_counts(target: &Target, wanted: impl Fn(Counts) -> bool) {
    while !wanted(target.counts()) {
        tokio::task::yield_now().await;
    }
}
