//! What the system can tell of a TCP connection, and a way to ask it while somebody else owns the socket.
//!
//! The only module with `unsafe`, for two reasons: no maintained crate reads `TCP_INFO` as far as the fields that are
//! needed here, and a connection's socket belongs to the task that speaks HTTP over it, while the pool has to look at it
//! before it lends the connection again. A second descriptor for each connection would halve how many there can be.

#![allow(unsafe_code, reason = "the one module that may; see above")]

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;

/// A socket that can be looked at by others while it is open.
#[derive(Debug)]
pub(super) struct Watched {
    tcp: TcpStream,
    window: Arc<Window>,
}

/// Through which a socket is looked at. Shut when the socket is closed.
#[derive(Debug)]
pub(crate) struct Window(Mutex<Option<RawFd>>);

/// What can be seen of a quiet connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing came, nothing ended.
    Quiet,
    /// Bytes are waiting to be read.
    Bytes,
    /// The peer has ended its stream.
    End,
    /// The connection is broken, or closed on our side.
    Broken,
}

/// A part of what `TCP_INFO` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_deviation: Duration,
    /// Segments that were sent more than once, ever.
    pub retransmits: u32,
    /// Bytes that the peer acknowledged, ever; the handshake's own is one of them.
    pub bytes_acked: u64,
    /// Bytes that arrived, ever.
    pub bytes_received: u64,
}

impl Watched {
    /// The address at its other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.tcp.peer_addr().ok()
    }

    pub(super) fn new(tcp: TcpStream) -> Self {
        let window = Arc::new(Window(Mutex::new(Some(tcp.as_raw_fd()))));
        Self { tcp, window }
    }

    pub(super) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    pub(super) fn is_write_vectored(&self) -> bool {
        tokio::io::AsyncWrite::is_write_vectored(&self.tcp)
    }

    pub(super) fn window(&self) -> &Arc<Window> {
        &self.window
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Before the descriptor is closed, and its number given to another file.
        *self.window.0.lock() = None;
    }
}

impl Window {
    /// Whether the socket is open.
    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }

    /// What can be seen of the connection now. Takes nothing out of it.
    pub(crate) fn look(&self) -> Seen {
        let seen = self.through(|socket| {
            let mut byte = [MaybeUninit::uninit()];
            // The socket doesn't block, so neither does this.
            match SockRef::from(&socket).peek(&mut byte) {
                Ok(0) => Seen::End,
                Ok(_) => Seen::Bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Seen::Quiet,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Seen::Quiet,
                Err(_) => Seen::Broken,
            }
        });
        seen.unwrap_or(Seen::Broken)
    }

    /// What the system knows of the connection; nothing once it is closed, or where the system doesn't say.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        self.through(tcp_info).flatten()
    }

    fn through<T>(&self, look: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let open = self.0.lock();
        let fd = (*open)?;
        // SAFETY: the descriptor is open while the window holds it: `Watched` owns the socket, takes the number out
        // of the window before it closes it, and can't do so while the lock is held.
        Some(look(unsafe { BorrowedFd::borrow_raw(fd) }))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn tcp_info(socket: BorrowedFd<'_>) -> Option<TcpInfo> {
    // Room for all that today's kernels tell; what is asked for here ends at 136.
    let mut info = [0_u8; 256];
    let mut length = libc::socklen_t::try_from(info.len()).ok()?;
    // SAFETY: the descriptor is open; the pointers are to a buffer and to its length, which the system doesn't exceed.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (asked == 0).then(|| read(info.get(..usize::try_from(length).ok()?)?))?
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn tcp_info(_: BorrowedFd<'_>) -> Option<TcpInfo> {
    None
}

/// Reads `struct tcp_info` of `linux/tcp.h`. The kernel only ever adds fields at its end; one that doesn't know the byte
/// counters (before 4.2) tells less than is needed.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(dead_code))]
fn read(info: &[u8]) -> Option<TcpInfo> {
    let u32_at = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    Some(TcpInfo {
        rtt: Duration::from_micros(u32_at(68)?.into()),
        rtt_deviation: Duration::from_micros(u32_at(72)?.into()),
        retransmits: u32_at(100)?,
        bytes_acked: u64_at(120)?,
        bytes_received: u64_at(128)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Watched, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        (Watched::new(ours), theirs)
    }

    #[tokio::test]
    async fn a_look_tells_quiet_from_bytes_and_takes_nothing() {
        let (mut ours, mut theirs) = pair().await;
        let window = Arc::clone(ours.window());
        assert_eq!(window.look(), Seen::Quiet);
        theirs.write_all(b"x").await.unwrap();
        ours.tcp().readable().await.unwrap();
        assert_eq!((window.look(), window.look()), (Seen::Bytes, Seen::Bytes));
        assert_eq!(ours.tcp().read_u8().await.unwrap(), b'x');
        assert_eq!(window.look(), Seen::Quiet);
    }

    #[tokio::test]
    async fn a_look_tells_an_end_from_a_reset_and_from_a_closed_socket() {
        let (mut ours, theirs) = pair().await;
        drop(theirs);
        ours.tcp().readable().await.unwrap();
        assert_eq!(ours.window().look(), Seen::End);
        let (mut ours, theirs) = pair().await;
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        ours.tcp().readable().await.unwrap();
        assert_eq!(ours.window().look(), Seen::Broken);
        let window = Arc::clone(ours.window());
        drop(ours);
        assert_eq!((window.look(), window.tcp_info()), (Seen::Broken, None));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn acknowledged_bytes_are_counted_from_the_handshake_on() {
        let (mut ours, mut theirs) = pair().await;
        let before = ours.window().tcp_info().unwrap();
        ours.tcp().write_all(b"0123456789").await.unwrap();
        let mut read = [0; 10];
        theirs.read_exact(&mut read).await.unwrap();
        // The answer carries the acknowledgement.
        theirs.write_all(b"x").await.unwrap();
        ours.tcp().read_u8().await.unwrap();
        let after = ours.window().tcp_info().unwrap();
        assert_eq!(after.bytes_acked - before.bytes_acked, 10);
        assert_eq!(after.bytes_received - before.bytes_received, 1);
    }
}
