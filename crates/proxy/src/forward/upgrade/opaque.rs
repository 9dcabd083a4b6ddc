//! After a switch of protocols (WebSocket, say) the proxy passes bytes both ways and understands none of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mainstay::DeliveredBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use crate::connection::Active;

/// Joins both sides in a task of their own, until both have ended, or nothing has moved for `idle_timeout`.
pub(super) fn join(
    active: Active,
    application: OnUpgrade,
    upstream: OnUpgrade,
    body: DeliveredBody,
    idle_timeout: Duration,
) {
    tokio::spawn(async move {
        if let Err(error) = joined(application, upstream, idle_timeout).await {
            tracing::debug!(%error, "a tunnel broke");
        }
        // The call lasts as long as its tunnel.
        drop((body, active));
    });
}

async fn joined(
    application: OnUpgrade,
    upstream: OnUpgrade,
    idle_timeout: Duration,
) -> io::Result<()> {
    let (application, upstream) =
        tokio::try_join!(application, upstream).map_err(io::Error::other)?;
    let moved = Arc::new(Moved::new());
    let mut application = Watched { stream: TokioIo::new(application), moved: Arc::clone(&moved) };
    let mut upstream = Watched { stream: TokioIo::new(upstream), moved: Arc::clone(&moved) };
    tokio::select! {
        copied = copy_bidirectional(&mut application, &mut upstream) => copied.map(|_| ()),
        () = moved.nothing_for(idle_timeout) => Err(io::ErrorKind::TimedOut.into()),
    }
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

/// A stream that notes when bytes came from it.
struct Watched<S> {
    stream: S,
    moved: Arc<Moved>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.moved.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
