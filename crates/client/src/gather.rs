//! Writing pieces that are small as one.
//!
//! A head and a short body come as two pieces. The kernel takes both at once by `writev`, but it is cheaper to put them
//! side by side first and to send one: no list of pieces has to be copied in and checked. What is large isn't copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Pieces of at most this many bytes together are put side by side: most heads with a small body, and little enough
/// for the stack.
const SIDE_BY_SIDE: usize = 2048;

/// Writes `pieces` to a socket with one system call, as [`AsyncWrite::poll_write_vectored`] does.
pub fn poll_write(
    tcp: Pin<&mut TcpStream>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return tcp.poll_write(cx, piece);
    }
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    if total > SIDE_BY_SIDE {
        return tcp.poll_write_vectored(cx, pieces);
    }
    let mut whole = [0; SIDE_BY_SIDE];
    let mut len = 0;
    for piece in pieces {
        whole[len..len + piece.len()].copy_from_slice(piece);
        len += piece.len();
    }
    tcp.poll_write(cx, &whole[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    async fn check(pieces: &[&[u8]]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut out = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let wanted = pieces.concat();
        let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let written = poll_fn(|cx| poll_write(Pin::new(&mut out), cx, &slices)).await.unwrap();
        assert_eq!(written, wanted.len());
        let mut read = vec![0; written];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(read, wanted);
    }

    #[tokio::test]
    async fn what_is_written_is_the_pieces_in_their_order() {
        check(&[b"one"]).await;
        check(&[b"head", b"", b"body"]).await;
        check(&[&[b'x'; 1024], &[b'y'; 1024]]).await;
        check(&[&[b'x'; 1024], &[b'y'; 1025]]).await;
    }
}
