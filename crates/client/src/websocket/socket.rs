//! One connection.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mainstay_core::heal::socket::{SocketSettings, TunnelCounts, TunnelEnd};
use mainstay_core::{Break, BreakKind, Certainty};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as FrameError, Message as Frame};

use super::unread::{Counted, Patience};
use super::{Close, Message};
use crate::{Error, ResponseBody};

/// An open WebSocket connection: a [`Stream`] of what comes and a [`Sink`] for what goes.
///
/// ```no_run
/// # async fn example(client: mainstay::Mainstay) -> Result<(), mainstay::Error> {
/// let mut socket = client.get("wss://api.example/prices").websocket()?.connect().await?;
/// socket.say("subscribe tea").await?;
/// while let Some(message) = socket.next_message().await {
///     println!("{:?}", message?);
/// }
/// # Ok(()) }
/// ```
///
/// The stream ends after the peer's Close ([`WebSocket::closed`]), and with an error where the connection breaks without one, or is dead. Its call lasts
/// as long as it does, and its record says how it ended.
pub struct WebSocket {
    frames: Frames,
    body: ResponseBody,
    protocol: Option<String>,
    watch: SocketSettings,
    patience: Patience,
    /// Who reads, to be woken when sending finds that there is nobody.
    reader: Option<Waker>,
    /// The error that whoever reads is still to get.
    unread: Option<Error>,
    heard_at: Instant,
    /// A Ping is out that nothing has come after.
    asked: bool,
    timer: Option<Pin<Box<Sleep>>>,
    counts: TunnelCounts,
    closed: Option<Close>,
    /// We said goodbye first.
    closes: bool,
    over: bool,
}

type Frames = WebSocketStream<Counted<TokioIo<Upgraded>>>;

impl WebSocket {
    pub(super) fn new(
        frames: Frames,
        body: ResponseBody,
        protocol: Option<String>,
        (watch, send_timeout): (SocketSettings, Duration),
    ) -> Self {
        let heard_at = Instant::now();
        let timer = watch.ping_after.map(|after| Box::pin(sleep_until(heard_at + after)));
        Self {
            frames,
            body,
            protocol,
            watch,
            patience: Patience::new(send_timeout),
            reader: None,
            unread: None,
            heard_at,
            asked: false,
            timer,
            counts: TunnelCounts::default(),
            closed: None,
            closes: false,
            over: false,
        }
    }

    /// The subprotocol that the server has chosen, if it has.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// How the peer said goodbye, once it has.
    #[must_use]
    pub const fn closed(&self) -> Option<&Close> {
        self.closed.as_ref()
    }

    /// The next message; `None` when the peer has said goodbye. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// The connection broke, or is dead. Nothing follows it.
    pub async fn next_message(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Says something, and waits until it is on its way. Whether it arrives is the peer's to tell.
    ///
    /// # Errors
    ///
    /// The connection broke or is closed; or its peer has read nothing for the [`send_timeout`](super::SocketRequest::send_timeout), which breaks it.
    pub async fn say(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        poll_fn(|cx| Pin::new(&mut *self).poll_ready(cx)).await?;
        Pin::new(&mut *self).start_send(message.into())?;
        poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }

    /// Says goodbye, and waits some seconds for the peer's. What still comes is left aside.
    ///
    /// # Errors
    ///
    /// The connection broke before.
    pub async fn close(mut self) -> Result<(), Error> {
        let goodbye = async {
            poll_fn(|cx| Pin::new(&mut self).poll_close(cx)).await?;
            while self.next_message().await.is_some() {}
            Ok(())
        };
        // One that never answers, or doesn't even read, is left to itself.
        timeout(GOODBYE_WITHIN, goodbye).await.unwrap_or(Ok(()))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if let Some(error) = self.unread.take() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if self.closed.is_some() {
                return self.poll_goodbye(cx);
            }
            match Pin::new(&mut self.frames).poll_next(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.heard();
                    self.counts.received += frame.len() as u64;
                    match frame {
                        Frame::Text(text) => {
                            return Poll::Ready(Some(Ok(Message::Text(text.as_str().to_owned()))));
                        }
                        Frame::Binary(bytes) => {
                            return Poll::Ready(Some(Ok(Message::Binary(bytes))));
                        }
                        Frame::Close(frame) => {
                            let close = Close::of(frame);
                            self.counts.close_code.get_or_insert(close.code);
                            self.closed = Some(close);
                        }
                        Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
                    }
                }
                Poll::Ready(None) => return Poll::Ready(self.ended(None)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.ended(Some(&error))),
                Poll::Pending => {
                    self.reader = Some(cx.waker().clone());
                    if let Some(dead) = ready!(self.poll_watch(cx)) {
                        return Poll::Ready(Some(Err(dead)));
                    }
                }
            }
        }
    }

    /// The peer has said goodbye, and our own is written. Nobody waits for the connection's end, which the peer may forget.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        // Where it can't be written at once nobody reads it.
        let _ = Pin::new(&mut self.frames).poll_flush(cx);
        let ours = self.closes;
        self.finish(if ours {
            TunnelEnd::ClosedByApplication
        } else {
            TunnelEnd::ClosedByUpstream
        });
        Poll::Ready(None)
    }

    fn heard(&mut self) {
        self.heard_at = Instant::now();
        if std::mem::take(&mut self.asked)
            && let (Some(timer), Some(after)) = (&mut self.timer, self.watch.ping_after)
        {
            timer.as_mut().reset(self.heard_at + after);
        }
    }

    /// Asks a quiet peer, and finds a dead one. `Ready(None)`: it was asked.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        let Some(after) = self.watch.ping_after else { return Poll::Pending };
        let now = Instant::now();
        if self.asked {
            return Poll::Ready(Some(self.broke(TunnelEnd::UpstreamDead, BreakKind::BodyStalled)));
        }
        if self.heard_at + after > now {
            timer.as_mut().reset(self.heard_at + after);
            return Poll::Ready(None);
        }
        timer.as_mut().reset(now + self.watch.pong_within);
        // Where it can't be written now something waits to be: that asks as well.
        if Pin::new(&mut self.frames).poll_ready(cx).is_ready() {
            let _ = Pin::new(&mut self.frames).start_send(Frame::Ping(Bytes::new()));
            let _ = Pin::new(&mut self.frames).poll_flush(cx);
            self.counts.pings += 1;
        }
        self.asked = true;
        Poll::Ready(None)
    }

    /// The connection has ended, with this error or without one.
    fn ended(&mut self, error: Option<&FrameError>) -> Option<Result<Message, Error>> {
        let (end, kind) = match error {
            Some(FrameError::Io(_)) => (TunnelEnd::UpstreamReset, BreakKind::BodyReset),
            Some(FrameError::Protocol(what)) if !is_bare_end(what) => {
                (TunnelEnd::UpstreamMalformed, BreakKind::MalformedResponse)
            }
            Some(FrameError::Capacity(_) | FrameError::Utf8(_)) => {
                (TunnelEnd::UpstreamMalformed, BreakKind::MalformedResponse)
            }
            Some(_) | None => (TunnelEnd::UpstreamGone, BreakKind::BodyTruncated),
        };
        Some(Err(self.broke(end, kind)))
    }

    fn broke(&mut self, end: TunnelEnd, kind: BreakKind) -> Error {
        self.finish(end);
        self.body.broke(Break::new(kind, Certainty::MaybeProcessed))
    }

    fn finish(&mut self, end: TunnelEnd) {
        self.over = true;
        self.timer = None;
        self.body.end_tunnel(end, self.counts);
    }

    /// What sending says of the connection, which waits for a peer that reads, and not without end.
    fn poll_sent(
        &mut self,
        sent: Poll<Result<(), FrameError>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if let Poll::Ready(sent) = sent {
            self.patience.end();
            return Poll::Ready(self.sent(sent));
        }
        ready!(self.patience.poll(self.frames.get_ref().written(), cx));
        let (what, most) = (BreakKind::BodyStalled, self.patience.most());
        let error = || self.body.unread(Break::new(what, Certainty::MaybeProcessed), most);
        let told = error();
        if !self.over {
            self.unread = Some(error());
            self.finish(TunnelEnd::UpstreamDead);
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Err(told))
    }

    fn sent(&mut self, result: Result<(), FrameError>) -> Result<(), Error> {
        result.map_err(|error| match error {
            // Reading goes on, and says how it ended.
            FrameError::ConnectionClosed | FrameError::AlreadyClosed => {
                self.body.broke(Break::new(BreakKind::BodyTruncated, Certainty::NotSent))
            }
            _ => self.body.broke(Break::new(BreakKind::BodyReset, Certainty::MaybeProcessed)),
        })
    }
}

fn is_bare_end(what: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    matches!(what, ProtocolError::ResetWithoutClosingHandshake)
}

impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_frame(cx)
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let ready = Pin::new(&mut self.frames).poll_ready(cx);
        self.poll_sent(ready, cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        let frame = message.into_frame();
        self.counts.sent += frame.len() as u64;
        let sent = Pin::new(&mut self.frames).start_send(frame);
        self.sent(sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = Pin::new(&mut self.frames).poll_flush(cx);
        self.poll_sent(flushed, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.closed.is_none() {
            self.closes = true;
        }
        let closed = Pin::new(&mut self.frames).poll_close(cx).map(|closed| match closed {
            Err(FrameError::ConnectionClosed | FrameError::AlreadyClosed) => Ok(()),
            closed => closed,
        });
        self.poll_sent(closed, cx)
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        if !self.over {
            let end = match (&self.closed, self.closes) {
                (_, true) => TunnelEnd::ClosedByApplication,
                (Some(_), false) => TunnelEnd::ClosedByUpstream,
                (None, false) => TunnelEnd::ApplicationGone,
            };
            self.finish(end);
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, closed, over, .. } = self;
        let mut shown = f.debug_struct("WebSocket");
        shown
            .field("body", body)
            .field("closed", closed)
            .field("over", over)
            .finish_non_exhaustive()
    }
}

/// A peer that is there answers a Close at once.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);
