//! Runs core's WebSocket tunnel on the two connections that are joined.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mainstay::{Clock, DeliveredBody};
use mainstay_core::heal::socket::{
    ConnectionEnd, Ending, PARTS_WITHIN, Side, Tunnel, TunnelCounts, TunnelEnd,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use crate::shared::Shared;

/// What is next for a tunnel.
enum Turn {
    Over(Ending),
    /// The upstream's connection broke so, and is to be opened again within so long.
    Reopen(TunnelEnd, Duration),
}

async fn reopen(body: &mut DeliveredBody, end: TunnelEnd, within: Duration) -> Option<Upgraded> {
    let upstream = body.reopen(end.broke()?, within).await?;
    upstream.await.ok()
}

/// A connection that is one end of the tunnel.
type Stream = TokioIo<Upgraded>;

/// A tunnel and what it runs on.
#[derive(Debug)]
pub(super) struct Socket {
    tunnel: Tunnel,
    application: End,
    upstream: End,
}

/// One of the two connections.
#[derive(Debug)]
struct End {
    stream: Stream,
    /// It took nothing when it was last written to.
    is_blocked: bool,
    /// Written, and perhaps not flushed.
    is_dirty: bool,
    /// It can't be written to any more. What it has sent before that is still read, up to its end.
    is_broken: bool,
}

impl Socket {
    pub(super) fn new(tunnel: Tunnel, application: Upgraded, upstream: Upgraded) -> Self {
        Self { tunnel, application: End::new(application), upstream: End::new(upstream) }
    }

    /// Until the tunnel is over, and both sides have what is theirs. `body`: that of the call, by which the upstream's connection is
    /// opened again.
    pub(super) async fn run(
        mut self,
        shared: &Shared,
        body: &mut DeliveredBody,
    ) -> (TunnelEnd, TunnelCounts) {
        let mut timer = Box::pin(sleep(Duration::MAX));
        let mut parting = pin!(shared.parting());
        let mut is_told = false;
        let ending = loop {
            let turn = poll_fn(|cx| {
                if !is_told && parting.as_mut().poll(cx).is_ready() {
                    is_told = true;
                    self.tunnel.on_drain(Clock::now());
                }
                if let Poll::Ready(ending) = self.poll(&mut timer, cx) {
                    return Poll::Ready(Turn::Over(ending));
                }
                self.tunnel.reopening().map_or(Poll::Pending, |(end, until)| {
                    Poll::Ready(Turn::Reopen(end, until.since(Clock::now())))
                })
            });
            match turn.await {
                Turn::Over(ending) => break ending,
                Turn::Reopen(end, within) => {
                    // In a box: it is rare, and its state would make that of each tunnel large.
                    let mut opening = Box::pin(reopen(body, end, within));
                    let opened = poll_fn(|cx| {
                        if !is_told && parting.as_mut().poll(cx).is_ready() {
                            is_told = true;
                            self.tunnel.on_drain(Clock::now());
                        }
                        // The application is heard meanwhile, and may leave.
                        let is_over = self.poll(&mut timer, cx).is_ready();
                        if is_over || self.tunnel.reopening().is_none() {
                            return Poll::Ready(None);
                        }
                        opening.as_mut().poll(cx)
                    });
                    match opened.await {
                        Some(upstream) => {
                            self.upstream = End::new(upstream);
                            self.tunnel.on_reopened(Clock::now());
                        }
                        None => self.tunnel.on_not_reopened(Clock::now()),
                    }
                }
            }
        };
        if timeout(FLUSH_FOR, self.part()).await.is_err() {
            tracing::debug!("one side of a tunnel doesn't take its end");
        }
        (ending.end, self.tunnel.counts())
    }

    /// Moves what can be moved, until nothing can.
    fn poll(&mut self, timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            if let Some(ending) = self.tunnel.ending() {
                return Poll::Ready(ending);
            }
            let mut moved = self.poll_write(Side::Application, cx);
            moved |= self.poll_write(Side::Upstream, cx);
            moved |= self.poll_read(Side::Upstream, cx);
            moved |= self.poll_read(Side::Application, cx);
            moved |= self.poll_time(timer, cx);
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Whether something was written.
    fn poll_write(&mut self, to: Side, cx: &mut Context<'_>) -> bool {
        let end = match to {
            Side::Application => &mut self.application,
            Side::Upstream => &mut self.upstream,
        };
        let was_blocked = end.is_blocked;
        let Poll::Ready(written) = end.poll_write(self.tunnel.pending(to), cx) else {
            return false;
        };
        if written > 0 {
            let now = Clock::now();
            self.tunnel.on_written(to, written, now);
            if was_blocked && to == Side::Upstream {
                self.tunnel.on_upstream_reads(now);
            }
        }
        written > 0
    }

    /// Whether something came, an end among that.
    fn poll_read(&mut self, from: Side, cx: &mut Context<'_>) -> bool {
        if !self.tunnel.reads(from) {
            return false;
        }
        let end = match from {
            Side::Application => &mut self.application,
            Side::Upstream => &mut self.upstream,
        };
        // On the stack, so that a quiet connection has no buffer.
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        let Poll::Ready(read) = Pin::new(&mut end.stream).poll_read(cx, &mut buffer) else {
            return false;
        };
        let now = Clock::now();
        match (read, buffer.filled()) {
            (Ok(()), []) if end.is_broken => {
                self.tunnel.on_end(from, ConnectionEnd::Reset, now);
            }
            (Ok(()), []) => self.tunnel.on_end(from, ConnectionEnd::Closed, now),
            (Ok(()), piece) => self.tunnel.on_bytes(from, piece, now),
            (Err(error), _) => self.tunnel.on_end(from, end_by(&error), now),
        }
        true
    }

    /// Whether something was due.
    fn poll_time(&mut self, timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.tunnel.next_deadline() else { return false };
        let at = Clock::instant(due);
        // One that ends too early is set again there, and not with each piece.
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        timer.as_mut().reset(at);
        let now = Clock::now();
        if now >= due {
            self.tunnel.on_time(now);
        }
        true
    }

    /// Writes what is left and ends both sides, each as far as it goes.
    async fn part(&mut self) {
        let (application, upstream) = (&mut self.application, &mut self.upstream);
        let tunnel = &self.tunnel;
        tokio::join!(
            application.part(tunnel.pending(Side::Application)),
            upstream.part(tunnel.pending(Side::Upstream)),
        );
    }
}

impl End {
    fn new(upgraded: Upgraded) -> Self {
        let stream = TokioIo::new(upgraded);
        Self { stream, is_blocked: false, is_dirty: false, is_broken: false }
    }

    /// Writes some of it, or sees to it that what was written leaves. Says how much of it is done with.
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<usize> {
        if self.is_broken {
            return Poll::Ready(bytes.len());
        }
        let written = ready!(self.poll_try_write(bytes, cx));
        Poll::Ready(written.unwrap_or_else(|error| {
            tracing::debug!(%error, "one side of a tunnel takes nothing more");
            self.is_broken = true;
            bytes.len()
        }))
    }

    fn poll_try_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            if self.is_dirty {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.is_dirty = false;
            }
            return Poll::Ready(Ok(0));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.is_blocked = written.is_pending();
        self.is_dirty |= written.is_ready();
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Writes the rest, says that nothing more comes, and hears the other side out: a socket that is closed with bytes unread sends a
    /// reset, and that destroys what the other side hasn't read yet.
    async fn part(&mut self, mut rest: &[u8]) {
        let shut_down = poll_fn(|cx| {
            while !rest.is_empty() {
                rest = &rest[ready!(self.poll_write(rest, cx))..];
            }
            Pin::new(&mut self.stream).poll_shutdown(cx)
        });
        if shut_down.await.is_ok() {
            poll_fn(|cx| self.poll_to_end(cx)).await;
        }
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

/// A TLS connection that ends without its own goodbye was closed all the same: WebSocket has a goodbye of its own.
fn end_by(error: &io::Error) -> ConnectionEnd {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectionEnd::Closed,
        _ => ConnectionEnd::Reset,
    }
}

/// As much as a socket gives at a time, as a rule.
const READ_BYTES: usize = 16 * 1024;

/// Half a second is some round trips to anywhere; what isn't taken by then was given up by its reader.
const FLUSH_FOR: Duration = Duration::from_millis(500);

/// Longer than a tunnel waits for its application's goodbye, and for its last bytes to be taken.
pub(crate) const TUNNELS_PART_WITHIN: Duration =
    PARTS_WITHIN.saturating_add(FLUSH_FOR).saturating_add(Duration::from_millis(500));
