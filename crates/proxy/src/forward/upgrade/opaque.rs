//! A protocol that isn't read: bytes are passed both ways.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mainstay_core::heal::socket::{TunnelCounts, TunnelEnd};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

/// Passes bytes until both sides have ended, or nothing has moved for `idle_timeout`. Whether they live is the system's keep-alive to
/// find out.
pub(super) async fn run(
    application: Upgraded,
    upstream: Upgraded,
    idle_timeout: Duration,
) -> (TunnelEnd, TunnelCounts) {
    let moved = Arc::new(Moved::new());
    let mut application = Watched::new(application, &moved);
    let mut upstream = Watched::new(upstream, &moved);
    let copied = tokio::select! {
        copied = copy_bidirectional(&mut application, &mut upstream) => Some(copied),
        () = moved.nothing_for(idle_timeout) => None,
    };
    let end = match copied {
        Some(Ok(_)) => TunnelEnd::Finished,
        Some(Err(_)) if upstream.is_broken => TunnelEnd::UpstreamReset,
        Some(Err(_)) => TunnelEnd::ApplicationGone,
        None => TunnelEnd::Idle,
    };
    let counts =
        TunnelCounts { sent: application.read, received: upstream.read, ..TunnelCounts::default() };
    (end, counts)
}

/// When bytes moved last, in milliseconds since the tunnel was opened.
struct Moved {
    opened: Instant,
    last: AtomicU64,
}

impl Moved {
    fn new() -> Self {
        Self { opened: Instant::now(), last: AtomicU64::new(0) }
    }

    fn note(&self) {
        self.last
            .store(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// One timer, which is set again where it ends and not with each piece.
    async fn nothing_for(&self, timeout: Duration) {
        loop {
            let end = self.opened + Duration::from_millis(self.last.load(Relaxed)) + timeout;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// A stream that notes what came from it and when, and whether it broke.
struct Watched {
    stream: TokioIo<Upgraded>,
    moved: Arc<Moved>,
    read: u64,
    is_broken: bool,
}

impl Watched {
    fn new(upgraded: Upgraded, moved: &Arc<Moved>) -> Self {
        let moved = Arc::clone(moved);
        Self { stream: TokioIo::new(upgraded), moved, read: 0, is_broken: false }
    }

    fn note<T>(&mut self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_broken |= matches!(done, Poll::Ready(Err(_)));
        done
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.moved.note();
            self.read += (buf.filled().len() - before) as u64;
        }
        self.note(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(shut_down)
    }
}
