//! One connection as bytes: plain or TLS, and the two ways to end it.
//!
//! A connection is reset by switching lingering off before the socket is dropped: the kernel then sends RST and
//! forgets what was unsent. It is closed cleanly by FIN, and then read on for a moment, because a socket closed
//! with unread bytes in it sends RST instead.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::delivery::delivered;
use crate::fault::Ending;

/// A connection's bytes.
pub(crate) struct Wire {
    /// Read from the socket, to be read again: what tells HTTP/2 from HTTP/1.1.
    ahead: BytesMut,
    stream: Stream,
    reset_on_drop: ResetOnDrop,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Whether the connection is reset when it is dropped; held by whoever may have to kill it from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResetOnDrop(Arc<AtomicBool>);

impl ResetOnDrop {
    pub(crate) fn arm(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Wire {
    pub(crate) fn plain(stream: TcpStream, reset_on_drop: ResetOnDrop) -> Self {
        Self { ahead: BytesMut::new(), stream: Stream::Plain(stream), reset_on_drop }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, reset_on_drop: ResetOnDrop) -> Self {
        Self { ahead: BytesMut::new(), stream: Stream::Tls(Box::new(stream)), reset_on_drop }
    }

    /// Makes these bytes the next to be read.
    pub(crate) fn read_again(&mut self, bytes: BytesMut) {
        self.ahead = bytes;
    }

    /// Ends it by RST.
    pub(crate) fn reset(self) {
        self.reset_on_drop.arm();
    }

    /// Ends it by FIN.
    pub(crate) async fn finish(mut self) {
        let end = async {
            self.shutdown().await?;
            self.drain().await
        };
        // The peer may keep its side open for as long as it likes; we don't.
        let _ = timeout(DRAIN_FOR, end).await;
    }

    /// Ends it in this way.
    pub(crate) async fn end(mut self, ending: Ending) {
        match ending {
            Ending::Fin => self.finish().await,
            Ending::Reset => self.reset(),
            // TLS says goodbye first, then the socket is closed; what the peer sends from now on meets a reset.
            Ending::Drop => drop(timeout(DRAIN_FOR, self.shutdown()).await),
        }
    }

    /// Waits until the peer has what was written, as far as that can be known.
    pub(crate) async fn delivered(&self) {
        if let (Ok(local), Ok(peer)) = (self.tcp().local_addr(), self.tcp().peer_addr()) {
            delivered(local, peer).await;
        }
    }

    /// Stays silent until the peer gives up.
    pub(crate) async fn hold(mut self) {
        let _ = timeout(HOLD_FOR, self.drain()).await;
    }

    /// Reads and forgets until the peer has closed.
    async fn drain(&mut self) -> io::Result<()> {
        let mut sink = [0; 4096];
        while self.read(&mut sink).await? > 0 {}
        Ok(())
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset_on_drop.0.load(Ordering::Acquire) {
            // It fails only for a socket that is gone already.
            let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Long enough for a client to read an end of file and close; short enough that nobody waits for a lab.
const DRAIN_FOR: Duration = Duration::from_secs(1);

/// "For ever", as far as any client's timeout is concerned, and still an end.
pub(crate) const HOLD_FOR: Duration = Duration::from_secs(600);
