//! How long a peer may take nothing of what it is sent. A connection whose peer is alive and doesn't read breaks by nothing else: TCP waits for
//! its window without end, and a Ping stands behind what waits already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that counts what it has taken to be sent.
#[derive(Debug)]
pub(super) struct Counted<T> {
    io: T,
    written: u64,
}

impl<T> Counted<T> {
    pub(super) const fn new(io: T) -> Self {
        Self { io, written: 0 }
    }

    /// So many bytes.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = written {
            self.written += written as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Whether what waits to be sent has moved lately.
#[derive(Debug)]
pub(super) struct Patience {
    most: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    written: u64,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) const fn new(most: Duration) -> Self {
        Self { most, waiting: None }
    }

    pub(super) const fn most(&self) -> Duration {
        self.most
    }

    /// Something waits to be sent, and so many bytes have gone before it. Ready when none has for too long.
    pub(super) fn poll(&mut self, written: u64, cx: &mut Context<'_>) -> Poll<()> {
        let most = self.most;
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting { written, timer: Box::pin(sleep(most)) });
        if waiting.written != written {
            waiting.written = written;
            waiting.timer.as_mut().reset(Instant::now() + most);
        }
        waiting.timer.as_mut().poll(cx)
    }

    /// Nothing waits any more.
    pub(super) fn end(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_waited_for_and_one_that_takes_nothing_is_not() {
        let mut patience = Patience::new(10 * SECOND);
        for written in 0..5 {
            let waited = timeout(9 * SECOND, poll_fn(|cx| patience.poll(written, cx))).await;
            assert!(waited.is_err(), "{written}");
        }
        let began = Instant::now();
        poll_fn(|cx| patience.poll(4, cx)).await;
        assert_eq!(began.elapsed().as_secs(), 1);
        patience.end();
        timeout(9 * SECOND, poll_fn(|cx| patience.poll(4, cx))).await.unwrap_err();
    }
}
