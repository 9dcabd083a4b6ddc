//! A connection that carries many exchanges at the same time: HTTP/2, spoken by the crate `h2`.
//!
//! Hyper's own client isn't used: it has no PING on demand, gives no informational answers, ends a body that was reset
//! with CANCEL as if it were complete, and blurs what became of a stream.
//!
//! Each connection has one task, which moves its frames. In the order in which a call meets the rest: the [`Multi`]
//! that the hub keeps; its `line`, the facts that all of its streams share; a [`Stream`], one place on it; the
//! `request` made out for HTTP/2; the `exchange` of it for a head, with its body's `upload` beside it and its `times`
//! noted; what is `received`. Over all of it a `watch`, which PINGs.

mod exchange;
mod line;
mod received;
mod request;
mod times;
mod upload;
mod watch;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use http::uri::Scheme;
use http::{Request, Response};
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::ConnectionFacts;

pub(super) use line::Pings;
pub(super) use received::Received;
pub(super) use times::StreamTimes;

use self::exchange::{Exchange, Later, is_lost};
use self::line::{ASSUMED_STREAMS, Line};
use self::request::make_out;
use self::watch::Watch;
use super::Broken;
use super::lifetime::Lifetime;
use crate::body::Outgoing;
use crate::connect::Transport;

/// One HTTP/2 connection. It ends when nobody holds it and its streams have ended.
#[derive(Debug)]
pub(super) struct Multi {
    sender: SendRequest<Bytes>,
    line: Arc<Line>,
    scheme: Scheme,
    lifetime: Lifetime,
}

/// A stream's place on a connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    sender: SendRequest<Bytes>,
    line: Arc<Line>,
    scheme: Scheme,
    /// Whether the connection had carried an exchange before.
    pub(super) reused: bool,
    /// Since when the connection had carried nothing before; nothing if it carried something, or was new.
    idle_since: Option<Timestamp>,
    /// Whether it is to be proved alive before it is used.
    quiet: bool,
    /// What it did and when; nothing before it is used.
    times: Option<StreamTimes>,
}

impl Multi {
    /// Speaks HTTP/2 over `transport`. The connection's task runs on the current runtime.
    pub(super) async fn start(
        transport: Transport,
        lifetime: Lifetime,
        pings: &Pings,
    ) -> Result<Self, Broken> {
        let scheme = if transport.is_secure() { Scheme::HTTPS } else { Scheme::HTTP };
        let line = Line::new(transport.meter(), pings);
        let (sender, connection) = builder().handshake(transport).await.map_err(|error| {
            Broken::new(BreakKind::StreamError, Certainty::NotSent).details(error.to_string())
        })?;
        tokio::spawn(drive(connection, Arc::clone(&line)));
        Ok(Self { sender, line, scheme, lifetime })
    }

    /// Whether it can take more streams, ever.
    pub(super) fn is_open(&mut self, now: Timestamp) -> bool {
        !self.is_closed() && self.lifetime.allows(now, self.line.meter().exchanges())
    }

    /// Whether the peer takes nothing more on it: it has ended, or is going away. Streams that have begun go on.
    pub(super) fn is_closed(&mut self) -> bool {
        let closed = self.line.is_over() || is_lost(&mut self.sender, &self.line);
        if closed {
            self.line.look_again();
        }
        closed
    }

    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.line.meter().id()
    }

    /// The address at its other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.line.meter().peer()
    }

    /// When its socket ended, if it has.
    pub(super) fn ended_at(&self) -> Option<Timestamp> {
        self.line.meter().ended_at()
    }

    /// Streams on it now.
    pub(super) fn streams(&self) -> u32 {
        self.line.streams()
    }

    /// Whether the peer allows one more stream now.
    pub(super) fn has_room(&self) -> bool {
        self.line.has_room()
    }

    /// Since when it has carried nothing; `None` while it carries something.
    pub(super) fn idle_since(&self) -> Option<Timestamp> {
        self.line.idle_since()
    }

    /// The shared facts, for somebody who waits until the peer has said what it allows; `None` when it has.
    pub(super) fn unsettled(&self) -> Option<Unsettled> {
        (!self.line.is_settled()).then(|| Unsettled(Arc::clone(&self.line)))
    }

    /// A place for one stream. Without room, the stream waits until the peer allows it.
    pub(super) fn first_stream(&self) -> Stream {
        self.take_place(false, false)
    }

    /// A further one. After a quiet time the connection is proved alive before the stream begins.
    pub(super) fn stream(&self, now: Timestamp) -> Stream {
        self.take_place(true, self.line.is_quiet(now))
    }

    fn take_place(&self, reused: bool, quiet: bool) -> Stream {
        let idle_since = self.line.idle_since().filter(|_| reused);
        self.line.hold();
        let (sender, line) = (self.sender.clone(), Arc::clone(&self.line));
        let scheme = self.scheme.clone();
        Stream { sender, line, scheme, reused, idle_since, quiet, times: None }
    }
}

/// A connection whose peer hasn't said yet what it allows.
pub(super) struct Unsettled(Arc<Line>);

impl Unsettled {
    /// Ends when it has, or when the connection has ended.
    pub(super) async fn settled(self) {
        self.0.settled().await;
    }
}

impl Stream {
    /// What is to be told of its connection to whoever takes it at `now`.
    pub(super) fn facts(&self, now: Timestamp) -> ConnectionFacts {
        let secure = self.scheme == Scheme::HTTPS;
        self.line.meter().connection("h2", secure, self.idle_since, now)
    }

    /// Sends `request`, or has it wait for its turn. What comes of it is awaited by [`Stream::head`].
    pub(super) fn send(&mut self, mut request: Request<Outgoing>) -> Result<Begun, Broken> {
        make_out(&mut request, self.scheme.clone())?;
        self.line.meter().begin_shared();
        if !self.quiet && self.line.may_begin() {
            Exchange::begin(&mut self.sender, &self.line, request, self.reused).map(Begun::Now)
        } else {
            let (sender, line) = (self.sender.clone(), Arc::clone(&self.line));
            Ok(Begun::Later(Box::new(Later { sender, line, request, quiet: self.quiet })))
        }
    }

    /// The head of the answer to what was begun.
    pub(super) async fn head(&mut self, begun: Begun) -> Result<Response<Received>, Broken> {
        let times = self.times.insert(StreamTimes::default());
        match begun {
            Begun::Now(exchange) => exchange,
            // In a box: it is rare, and its state would make that of each call large.
            Begun::Later(later) => Box::pin(later.begin(times)).await?,
        }
        .head(times)
        .await
    }

    /// Whether its request waits for a proof of life or for the peer's leave.
    pub(super) fn is_waiting(&self) -> bool {
        self.times.is_some_and(|times| times.is_waiting())
    }

    /// What it did and when, if it was used.
    pub(super) fn times(&self) -> Option<StreamTimes> {
        self.times.map(|times| times.seen(&self.line))
    }
}

/// A request that is on its way, or that waits for its turn.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly each is on its way, and a box would cost each an allocation"
)]
pub(in crate::pool) enum Begun {
    Now(Exchange),
    Later(Box<Later>),
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.line.release();
    }
}

/// Moves the connection's frames until it ends, or is given up.
async fn drive(mut connection: Connection<Transport, Bytes>, line: Arc<Line>) {
    let mut watch = Watch::new(connection.ping_pong(), &line);
    let ended = poll_fn(|cx| {
        line.note_task(cx);
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended);
        }
        note_limit(&connection, &line);
        match watch.as_mut().map(|watch| watch.poll(&line, cx)) {
            Some(Poll::Ready(())) => {
                line.note_silent();
                Poll::Ready(Ok(()))
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    })
    .await;
    // An error that belongs to a request has been given to it; the pool sees that the connection ended.
    if let Err(error) = ended {
        line.note_error(&error);
    }
    // Its socket is closed before anybody is told that nothing more is written to it.
    drop(connection);
    line.end();
}

fn note_limit(connection: &Connection<Transport, Bytes>, line: &Line) {
    let limit = connection.max_concurrent_send_streams();
    if line.is_settled() || limit != UNTOLD_STREAMS {
        line.allow(u32::try_from(limit).unwrap_or(u32::MAX));
        line.settle();
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_max_send_streams(UNTOLD_STREAMS)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_LIMIT_BYTES)
        .max_local_error_reset_streams(Some(RESETS_AT_MOST))
        .enable_push(false);
    builder
}

/// What is allowed as long as the peer has said nothing; a number that no peer says, so that its word is known from
/// our assumption.
const UNTOLD_STREAMS: usize = ASSUMED_STREAMS as usize + 3;

/// What a stream's answer may be ahead of its reader: 160 Mbit/s at a round trip of 50 ms.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// What all answers together may be ahead of their readers. Sixteen readers that have stopped reading don't stop the
/// others, and one connection can't fill the memory.
const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;

/// How large the fields of an answer may be, as over HTTP/1.1.
const HEAD_LIMIT_BYTES: u32 = 64 * 1024;

/// Streams that we reset for the peer's errors before the connection is given up, as in hyper.
const RESETS_AT_MOST: usize = 1024;
