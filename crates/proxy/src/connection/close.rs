//! The ways in which a connection ends.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::link::{Link, Order};
use super::stream::Stream;
use crate::problem::{Problem, Refusal};

/// Lets the application read the last answer before the connection goes.
///
/// A socket that is closed with bytes unread sends a reset, and that destroys what the application hasn't read
/// yet: an answer that says 413 would be lost. So what still comes is read and thrown away, for a while.
pub(super) async fn linger(mut stream: Stream) {
    let discard = async {
        let mut bytes = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(length) => left = left.saturating_sub(length),
            }
        }
    };
    // In a box: seldom needed, and large.
    if timeout(LINGER_FOR, Box::pin(discard)).await.is_err() {
        tracing::trace!("an application didn't close its side");
    }
}

/// Closes at once. With `reset`, so that the end can't be taken for that of an answer which ends by closing.
pub(super) fn abort(stream: Stream, reset: bool) {
    if let Stream::Plain(tcp) = &stream
        && reset
        && let Err(error) = SockRef::from(tcp).set_linger(Some(Duration::ZERO))
    {
        tracing::debug!(%error, "a connection couldn't be reset");
    }
    drop(stream);
}

/// Says that the head took too long.
pub(super) async fn too_slow(mut stream: Stream) {
    let (headers, text) = problem_in_text();
    let answer = async {
        stream.write_all(headers.as_bytes()).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    };
    match timeout(LINGER_FOR, Box::pin(answer)).await {
        Ok(Ok(())) => linger(stream).await,
        Ok(Err(_)) | Err(_) => tracing::trace!("an application was too slow to be told"),
    }
}

/// The answer, written by hand: hyper has no request to answer.
fn problem_in_text() -> (String, String) {
    let problem = Problem::of_refusal(Refusal::HeadTooSlow);
    let (status, text) = (problem.status(), problem.text());
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    (head, text)
}

/// Reads once. False at the end, after an error, or by order.
pub(super) async fn read_more(link: &Link, stream: &mut Stream, bytes: &mut BytesMut) -> bool {
    let mut reading = pin!(stream.read_buf(bytes));
    poll_fn(|cx| match link.take_order() {
        Some(Order::Close | Order::HeadTimeout | Order::Drain) => Poll::Ready(false),
        Some(Order::Park) | None => {
            reading.as_mut().poll(cx).map(|read| matches!(read, Ok(length) if length > 0))
        }
    })
    .await
}

/// Half a second is some round trips to anywhere; local applications need far less.
const LINGER_FOR: Duration = Duration::from_millis(500);

/// What may be on its way before the application sees the answer: a few full windows.
const LINGER_BYTES: usize = 1024 * 1024;
