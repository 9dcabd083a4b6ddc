//! Between the socket and hyper: notes what passes, and lets go of the socket when the connection is parked.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Link;
use super::scan::Scan;
use super::stream::Stream;

/// The stream that hyper reads and writes.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// Bytes that were read before, to be read again.
    prefix: Bytes,
    link: Arc<Link>,
    scan: Option<Scan>,
    sniff: Sniff,
    /// The application will send no more.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sniff {
    /// The first bytes are looked at for the preface of HTTP/2.
    Waiting,
    /// They are the preface, or its beginning.
    Suspect,
    Done,
}

impl Wire {
    /// For HTTP/1.1, unless it turns out to be HTTP/2.
    pub(super) fn http1(link: Arc<Link>, stream: Stream, prefix: Bytes) -> Self {
        let scan = Some(Scan::default());
        Self { stream, prefix, link, scan, sniff: Sniff::Waiting, ended: false }
    }

    pub(super) const fn http2(link: Arc<Link>, stream: Stream, prefix: Bytes) -> Self {
        Self { stream, prefix, link, scan: None, sniff: Sniff::Done, ended: false }
    }

    /// Whether the connection began like one of HTTP/2. The bytes are in what [`Wire::into_parts`] gives back.
    pub(super) fn is_suspect(&self) -> bool {
        self.sniff == Sniff::Suspect
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The socket, and what was read of it but not by hyper.
    pub(super) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.prefix)
    }

    fn take_prefix(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..length]);
        self.prefix.advance(length);
    }

    /// Looks at bytes that hyper is about to get. An error stops hyper before it has seen any.
    fn look(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.sniff == Sniff::Waiting {
            if is_preface(bytes) != Some(false) {
                self.sniff = Sniff::Suspect;
                return Err(io::Error::other("the connection speaks HTTP/2"));
            }
            self.sniff = Sniff::Done;
        }
        let begins = self.link.note_read();
        if let Some(scan) = &mut self.scan {
            if begins {
                scan.restart();
            }
            if scan.feed(bytes) {
                self.link.note_conflict();
            }
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.prefix.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        } else {
            self.take_prefix(buf);
        }
        if buf.filled().len() == before {
            self.ended |= buf.remaining() > 0;
            return Poll::Ready(Ok(()));
        }
        if let Err(stop) = self.look(&buf.filled()[before..]) {
            let mut read = buf.filled()[before..].to_vec();
            read.extend_from_slice(&self.prefix);
            self.prefix = read.into();
            buf.set_filled(before);
            return Poll::Ready(Err(stop));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.link.note_write(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.link.note_write(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // hyper flushes the socket when its own buffer is empty, and not before.
        self.link.note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Then the socket is taken back and used on.
        if self.link.keeps_open() || self.sniff == Sniff::Suspect {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whether bytes are the preface; `None` while they may become it.
pub(super) fn is_preface(bytes: &[u8]) -> Option<bool> {
    let length = bytes.len().min(PREFACE.len());
    if bytes[..length] != PREFACE[..length] {
        return Some(false);
    }
    (length == PREFACE.len()).then_some(true)
}

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
