//! The byte stream of one connection, metered: how many bytes left, how many arrived, whether writing failed.
//!
//! How far a request got is read off here and nowhere else. Writes are counted at the socket, below TLS: if the
//! count hasn't moved, nothing has left this host. Reads are counted above TLS: session tickets and alerts say
//! nothing about a request. When the peer ends its stream, what it had acknowledged by then is noted: see
//! [`mainstay_core::breaks::evidence`].

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_record::ConnectionFacts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Place;
use super::system::{Seen, TcpInfo, Watched, Window};
use crate::{Clock, gather};

/// What one connection's counters say. Written by the connection's task alone, read by whoever uses it.
#[derive(Debug)]
pub(crate) struct Meter {
    id: u64,
    peer: Option<SocketAddr>,
    opened_at: Timestamp,
    /// Exchanges that were begun.
    exchanges: AtomicU64,
    written_bytes: AtomicU64,
    read_bytes: AtomicU64,
    write_failed: AtomicBool,
    /// The connection was reset.
    was_reset: AtomicBool,
    /// How long the last PING's answer took, in nanoseconds; 0 for none.
    ping_round_trip: AtomicU64,
    /// When bytes were last taken from us, and when the first came since [`Meter::begin`], in nanoseconds; 0 for never.
    written_at: AtomicU64,
    answered_at: AtomicU64,
    /// When the peer's end was seen, or else our side closed, in nanoseconds; 0 for neither.
    ended_at: AtomicU64,
    /// Bytes that the peer had acknowledged when it ended its stream; `OPEN` while it hasn't.
    acked_at_end: AtomicU64,
    /// The same when our side closed the connection; `OPEN` until then.
    acked_at_close: AtomicU64,
    /// What the system had counted as acknowledged before a byte was written: the handshake. `UNKNOWN` where it doesn't count,
    /// or isn't to be asked.
    acked_at_start: u64,
    window: Arc<Window>,
}

/// The number of the process's next connection; 0 is none.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// No end of the peer's stream was seen, or the system can't say what had been acknowledged then.
const OPEN: u64 = u64::MAX;
const UNKNOWN: u64 = u64::MAX;

impl Meter {
    fn new(tcp: &Watched, evidence: bool) -> Self {
        let window = tcp.window();
        let start = if evidence { window.tcp_info() } else { None };
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            peer: tcp.peer(),
            opened_at: Clock::now(),
            exchanges: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            write_failed: AtomicBool::new(false),
            was_reset: AtomicBool::new(false),
            ping_round_trip: AtomicU64::new(0),
            written_at: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
            ended_at: AtomicU64::new(0),
            acked_at_end: AtomicU64::new(OPEN),
            acked_at_close: AtomicU64::new(OPEN),
            acked_at_start: start.map_or(UNKNOWN, |info| info.bytes_acked),
            window: Arc::clone(window),
        }
    }

    /// An exchange begins: the next bytes that arrive are its answer's first.
    pub(crate) fn begin(&self) {
        Self::count(&self.exchanges, 1);
        self.answered_at.store(0, Ordering::Relaxed);
    }

    /// What is to be told of the connection to whoever takes it at `now`, after it was idle since a time.
    pub(crate) fn connection(
        &self,
        protocol: &'static str,
        secure: bool,
        idle_since: Option<Timestamp>,
        now: Timestamp,
    ) -> ConnectionFacts {
        ConnectionFacts {
            id: self.id,
            peer: self.peer,
            protocol,
            secure,
            age: now.since(self.opened_at),
            idle_for: idle_since.map(|since| now.since(since)),
            requests_before: self.exchanges.load(Ordering::Relaxed),
        }
    }

    /// When bytes were last written.
    pub(crate) fn written_at(&self) -> Option<Timestamp> {
        at(&self.written_at)
    }

    /// When the first bytes arrived since the exchange began.
    pub(crate) fn answered_at(&self) -> Option<Timestamp> {
        at(&self.answered_at)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// One more of several exchanges at the same time begins, from whatever thread.
    pub(crate) fn begin_shared(&self) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
    }

    /// A PING was answered after so long.
    pub(crate) fn note_ping(&self, round_trip: Duration) {
        self.ping_round_trip.store(mainstay_core::time::nanos(round_trip), Ordering::Relaxed);
    }

    /// How long the last PING's answer took; `None` before there was one.
    pub(crate) fn ping_round_trip(&self) -> Option<Duration> {
        let nanos = self.ping_round_trip.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// The address at its other end.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Exchanges that were begun.
    pub(crate) fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Whether its socket is open.
    pub(crate) fn is_open(&self) -> bool {
        self.window.is_open()
    }

    /// When the peer ended it, or else our side did.
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        at(&self.ended_at)
    }

    // Of two who write, the peer's end comes first: both are the connection's task.
    fn note_ended(&self) {
        if self.ended_at.load(Ordering::Relaxed) == 0 {
            self.ended_at.store(Clock::now().as_nanos(), Ordering::Relaxed);
        }
    }

    /// What can be seen of the connection, without taking anything out of it: one system call.
    pub(crate) fn look(&self) -> Seen {
        let seen = self.window.look();
        if seen == Seen::Broken {
            self.was_reset.store(true, Ordering::Relaxed);
        }
        seen
    }

    /// What the system knows of the connection.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        self.window.tcp_info()
    }

    /// Bytes that the peer had acknowledged when it ended its stream, if both are known.
    pub(crate) fn acked_at_end(&self) -> Option<u64> {
        let acked = self.acked_at_end.load(Ordering::Acquire);
        (acked != OPEN).then_some(acked)
    }

    /// Bytes that the peer has acknowledged by now, where the system says; by the connection's close once it is closed.
    pub(crate) fn acked_bytes(&self) -> Option<u64> {
        let closed = self.acked_at_close.load(Ordering::Acquire);
        if closed == OPEN { self.ask_acked() } else { Some(closed) }
    }

    fn ask_acked(&self) -> Option<u64> {
        if self.acked_at_start == UNKNOWN {
            return None;
        }
        self.tcp_info().map(|info| info.bytes_acked.saturating_sub(self.acked_at_start))
    }

    /// Our side closes the connection: nobody can ask afterwards.
    fn note_close(&self) {
        self.note_ended();
        if let Some(acked) = self.ask_acked() {
            self.acked_at_close.store(acked, Ordering::Release);
        }
    }

    /// The peer has ended its stream. Only the first end counts, and what was acknowledged when it was seen; and none after a
    /// reset, which the system tells once: whoever reads on is told of an end that there never was.
    #[cold]
    fn note_end(&self) {
        self.note_ended();
        if !self.was_reset.load(Ordering::Relaxed)
            && self.acked_at_end.load(Ordering::Relaxed) == OPEN
            && let Some(acked) = self.ask_acked()
        {
            self.acked_at_end.store(acked, Ordering::Release);
        }
    }

    /// The system told of an error, and won't again. One that had been preceded by the peer's end isn't told as a reset
    /// (`EPIPE`).
    #[cold]
    fn note_error(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionReset {
            self.was_reset.store(true, Ordering::Relaxed);
        }
    }

    /// A write failed. If that is because the peer had ended its stream before, the end is still to be seen.
    #[cold]
    fn note_failed_write(&self, error: &io::Error) {
        self.note_error(error);
        if self.look() == Seen::End {
            self.note_end();
        }
        self.write_failed.store(true, Ordering::Release);
    }

    /// Bytes that the system took from us.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Acquire)
    }

    /// Bytes of HTTP that arrived.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Acquire)
    }

    /// Whether a write ended in an error.
    pub(crate) fn write_failed(&self) -> bool {
        self.write_failed.load(Ordering::Acquire)
    }

    // One task writes, so a load and a store do; a locked addition costs five times as much.
    fn count(counter: &AtomicU64, bytes: usize) {
        counter.store(counter.load(Ordering::Relaxed) + bytes as u64, Ordering::Release);
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => {
                Self::count(&self.written_bytes, *bytes);
                self.written_at.store(Clock::now().as_nanos(), Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) => self.note_failed_write(error),
            Poll::Pending => {}
        }
        written
    }

    fn note_read(&self, bytes: usize) {
        if bytes == 0 {
            return self.note_end();
        }
        Self::count(&self.read_bytes, bytes);
        if self.answered_at.load(Ordering::Relaxed) == 0 {
            self.answered_at.store(Clock::now().as_nanos(), Ordering::Relaxed);
        }
    }
}

fn at(nanos: &AtomicU64) -> Option<Timestamp> {
    let nanos = nanos.load(Ordering::Relaxed);
    (nanos != 0).then(|| Timestamp::from_nanos(nanos))
}

/// A TCP connection that counts what it writes, and its place among the target's connections.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: Watched,
    meter: Arc<Meter>,
    _place: Place,
}

impl Socket {
    /// `evidence`: whether what the peer acknowledges may prove how far a request got.
    pub(super) fn new(tcp: TcpStream, place: Place, evidence: bool) -> Self {
        let tcp = Watched::new(tcp);
        let meter = Arc::new(Meter::new(&tcp, evidence));
        Self { tcp, meter, _place: place }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.meter.note_close();
    }
}

/// What HTTP is spoken over.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Transport {
    /// The connection's counters.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        match self {
            Self::Plain(socket) => &socket.meter,
            Self::Tls(tls) => &tls.get_ref().0.meter,
        }
    }

    /// The address at this end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(socket) => socket.tcp.local(),
            Self::Tls(tls) => tls.get_ref().0.tcp.local(),
        }
    }

    /// The version of TLS and the protocol agreed on, if TLS is spoken.
    pub(crate) fn tls_summary(&self) -> Option<String> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(super::tls::describe(tls)),
        }
    }

    /// Whether it is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether ALPN agreed on HTTP/2.
    pub(crate) fn agreed_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(self.tcp.tcp()).poll_read(cx, buf);
        match &read {
            // Below TLS too: a peer may end the connection without a word of TLS.
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                self.meter.note_end();
            }
            Poll::Ready(Err(error)) => self.meter.note_error(error),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.tcp.tcp()).poll_write(cx, buf);
        self.meter.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = gather::poll_write(Pin::new(self.tcp.tcp()), cx, bufs);
        self.meter.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.tcp.tcp()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.tcp.tcp()).poll_shutdown(cx)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match &mut *self {
            Self::Plain(socket) => ready!(Pin::new(socket).poll_read(cx, buf))?,
            Self::Tls(tls) => ready!(Pin::new(tls).poll_read(cx, buf))?,
        }
        let read = buf.filled().len() - before;
        if read > 0 || buf.remaining() > 0 {
            self.meter().note_read(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::place::Places;
    use super::*;
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        (Socket::new(ours, Places::new(1).take().unwrap(), true), theirs)
    }

    /// Writes until that fails.
    async fn error_of_writing(socket: &mut Socket) -> io::ErrorKind {
        loop {
            if let Err(error) = socket.write(b"x").await {
                return error.kind();
            }
        }
    }

    #[tokio::test]
    async fn the_end_that_the_system_tells_of_after_a_reset_is_none() {
        let (mut ours, theirs) = pair().await;
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        assert_eq!(error_of_writing(&mut ours).await, io::ErrorKind::ConnectionReset);
        assert_eq!(ours.meter.acked_at_end(), None);
        assert_eq!(ours.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(ours.meter.acked_at_end(), None);
    }

    #[tokio::test]
    async fn an_end_that_only_a_failed_write_shows_counts_as_one() {
        let (mut ours, theirs) = pair().await;
        drop(theirs);
        assert_eq!(error_of_writing(&mut ours).await, io::ErrorKind::BrokenPipe);
        assert_eq!(ours.meter.acked_at_end(), Some(0));
    }
}
