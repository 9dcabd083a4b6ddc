//! A connection that carries many exchanges at the same time: HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mainstay_core::{Break, BreakKind, Certainty, Timestamp};

use super::classify::before_head_of_stream;
use super::single::Unsent;
use super::{Broken, OnContinue};
use crate::Clock;
use crate::body::Outgoing;
use crate::connect::Transport;

/// One HTTP/2 connection. It ends when nobody holds it and its streams have ended.
#[derive(Debug)]
pub(super) struct Multi {
    sender: SendRequest<Outgoing>,
    load: Arc<Load>,
    scheme: Scheme,
    /// When it is too old for new streams.
    expires_at: Timestamp,
}

/// A stream's place on a connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    sender: SendRequest<Outgoing>,
    load: Arc<Load>,
    scheme: Scheme,
    /// Whether the connection had carried an exchange before.
    pub(super) reused: bool,
}

/// What a connection carries and may carry.
#[derive(Debug)]
struct Load {
    streams: AtomicU32,
    /// What the peer allows at the same time.
    limit: AtomicU32,
    /// When its last stream ended, in nanoseconds.
    idle_since: AtomicU64,
}

impl Multi {
    /// Speaks HTTP/2 over `transport`. The connection's tasks run on the current runtime.
    pub(super) async fn start(transport: Transport, expires_at: Timestamp) -> Result<Self, Broken> {
        let scheme = if transport.is_secure() { Scheme::HTTPS } else { Scheme::HTTP };
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .max_header_list_size(HEAD_LIMIT_BYTES);
        let (sender, mut connection) =
            builder.handshake(TokioIo::new(transport)).await.map_err(|error| {
                let what = Break::new(BreakKind::StreamError, Certainty::NotSent);
                Broken::from(what).details(error.to_string())
            })?;
        let load = Arc::new(Load {
            streams: AtomicU32::new(0),
            limit: AtomicU32::new(limit(connection.current_max_send_streams())),
            idle_since: AtomicU64::new(Clock::now().as_nanos()),
        });
        let seen = Arc::clone(&load);
        tokio::spawn(async move {
            // An error that belongs to a request has been given to it; the pool sees that the connection ended.
            let _ = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                seen.limit.store(limit(connection.current_max_send_streams()), Ordering::Relaxed);
                polled
            })
            .await;
        });
        Ok(Self { sender, load, scheme, expires_at })
    }

    /// Whether it can take more streams, ever.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        !self.sender.is_closed() && now < self.expires_at
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Streams on it now.
    pub(super) fn streams(&self) -> u32 {
        self.load.streams.load(Ordering::Relaxed)
    }

    /// Whether the peer allows one more stream now.
    pub(super) fn has_room(&self) -> bool {
        self.streams() < self.load.limit.load(Ordering::Relaxed)
    }

    /// Since when it has carried nothing; `None` while it carries something.
    pub(super) fn idle_since(&self) -> Option<Timestamp> {
        let since = self.load.idle_since.load(Ordering::Relaxed);
        (self.streams() == 0).then(|| Timestamp::from_nanos(since))
    }

    /// A place for one stream. Without room, the stream waits until the peer allows it.
    pub(super) fn stream(&self, reused: bool) -> Stream {
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        let (sender, load) = (self.sender.clone(), Arc::clone(&self.load));
        Stream { sender, load, scheme: self.scheme.clone(), reused }
    }
}

impl Stream {
    /// Sends `request`; as with [`Single::send`](super::single::Single::send).
    pub(super) fn send(
        &mut self,
        mut request: Request<Outgoing>,
    ) -> Result<impl Future<Output = Result<Response<Incoming>, Unsent>> + Send + use<>, Broken>
    {
        make_out(&mut request, self.scheme.clone())?;
        Ok(self.sender.try_send_request(request))
    }

    /// What broke.
    pub(super) fn failed(&self, mut failure: Unsent) -> Broken {
        let handed_back = failure.take_message().is_some();
        before_head_of_stream(failure.error(), handed_back, self.reused)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.load.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.load.idle_since.store(Clock::now().as_nanos(), Ordering::Relaxed);
        }
    }
}

/// Makes a request one of HTTP/2: scheme and authority go into the target, and the authority is that of `Host`.
fn make_out(request: &mut Request<Outgoing>, scheme: Scheme) -> Result<(), Broken> {
    *request.version_mut() = Version::HTTP_2;
    // hyper tells of no informational answers over HTTP/2; a body that waits for one is sent when it has waited
    // long enough.
    request.extensions_mut().remove::<OnContinue>();
    let host = request.headers_mut().remove(header::HOST);
    let authority = match &host {
        Some(host) => Authority::try_from(host.as_bytes()).ok(),
        None => request.uri().authority().cloned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    parts.scheme = Some(scheme);
    parts.authority = authority;
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| {
        Broken::new(BreakKind::ClientGone, Certainty::NotSent)
            .details(format!("the request has no authority: {error}"))
    })?;
    Ok(())
}

fn limit(streams: usize) -> u32 {
    u32::try_from(streams).unwrap_or(u32::MAX)
}

/// How large the fields of an answer may be, as over HTTP/1.1.
const HEAD_LIMIT_BYTES: u32 = 64 * 1024;
