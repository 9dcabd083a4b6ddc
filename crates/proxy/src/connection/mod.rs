//! One connection of an application, from accept to close.
//!
//! ```text
//!             bytes come                     quiet for a while
//!   parked ───────────────▶ HTTP/1 engine ─────────────────────▶ parked
//!     │                       │    │  │ the first bytes are the preface of HTTP/2
//!     │ idle for too long,    │    │  └──────────────────────────▶ HTTP/2 engine ─▶ over
//!     ▼ drained               ▼    └─ 101: upgraded, joined with the upstream ────▶ over
//!   over                    over
//! ```
//!
//! A parked connection is a socket, a [`Link`] and nothing else: hyper's buffers and state are built anew when bytes
//! arrive. What time does to a connection (slow heads, idleness, parking) is seen by one sweep of its worker, about
//! once a second, and told to it as an [`Order`]: a connection owns no timer.

mod close;
mod http1;
mod http2;
mod link;
mod scan;
mod stream;
mod wire;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(crate) use link::{Active, Link, Order, Rhythm};
use stream::Stream;

use crate::worker::Worker;

/// Serves one connection until it is over.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) {
    let link = Link::new(worker, peer.ip(), tls.is_some());
    link.worker().register(&link);
    poll_fn(|cx| {
        link.set_waker(cx.waker());
        Poll::Ready(())
    })
    .await;
    match tls {
        None => http1_or_2(link, Stream::Plain(tcp)).await,
        Some(config) => Box::pin(secured(link, tcp, config)).await,
    }
}

async fn secured(link: Arc<Link>, tcp: TcpStream, config: Arc<ServerConfig>) {
    let limit = link.worker().local().limits.head_timeout;
    match timeout(limit, TlsAcceptor::from(config).accept(tcp)).await {
        Ok(Ok(tls)) => {
            let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::Tls(Box::new(tls));
            if is_http2 {
                Box::pin(http2::serve(link, stream, Bytes::new())).await;
            } else {
                http1_or_2(link, stream).await;
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with an application failed"),
        Err(_) => tracing::debug!("a TLS handshake with an application took too long"),
    }
}

async fn http1_or_2(link: Arc<Link>, mut stream: Stream) {
    let mut prefix = Bytes::new();
    loop {
        if prefix.is_empty() && !parked(&link, &stream).await {
            return;
        }
        // In boxes, so that the task of a parked connection is small.
        match Box::pin(http1::serve(&link, stream, prefix)).await {
            http1::End::Over => return,
            http1::End::Parked(quiet, unread) => (stream, prefix) = (quiet, unread),
            http1::End::Http2(other, preface) => {
                return Box::pin(http2::serve(link, other, preface)).await;
            }
        }
    }
}

/// Waits for bytes, holding nothing but the socket. False when the connection is to be closed instead.
async fn parked(link: &Link, stream: &Stream) -> bool {
    link.set_parked(true);
    let goes_on = poll_fn(|cx| poll_parked(link, stream, cx)).await;
    link.set_parked(false);
    goes_on
}

fn poll_parked(link: &Link, stream: &Stream, cx: &mut Context<'_>) -> Poll<bool> {
    match link.take_order() {
        Some(Order::Close | Order::HeadTimeout) => return Poll::Ready(false),
        // A request that is there already is answered; it is the last.
        Some(Order::Drain) => return Poll::Ready(stream.poll_readable(cx).is_ready()),
        Some(Order::Park) | None => {}
    }
    stream.poll_readable(cx).map(|readable| readable.is_ok())
}
