//! HTTP/2 by the `h2` crate, which is precise enough for what breaks a stream; what breaks a connection is done
//! on the socket, which the connection gives back when it is dropped ([`Lent`]).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::api::{Body, Reply, Request};
use crate::exchange::{After, Cut, Edge, Manner, Outcome, carry_out};
use crate::fault::Ending;
use crate::h1::{BODY_LIMIT_BYTES, HEAD_LIMIT_BYTES};
use crate::site::{IdleUntil, Site};
use crate::wire::{HOLD_FOR, Wire};

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection ends.
#[derive(Debug)]
enum End {
    Gone,
    Reset,
    Close,
    Drop,
    Garbage(Vec<u8>),
    /// GOAWAY below this stream.
    GoAway(u32),
    /// GOAWAY in two steps; the connection lives until its streams are done.
    GoAwayGracefully,
    /// GOAWAY ENHANCE_YOUR_CALM.
    TooManyPings,
}

/// Serves streams until the connection ends.
pub(crate) async fn serve(wire: Wire, site: Arc<Site>) {
    let back = Arc::new(Mutex::new(None));
    let (tell, told) = mpsc::channel(1);
    let policy = PingPolicy::new(site.clone(), tell.clone());
    let lent = Lent { wire: Some(wire), back: back.clone(), policy };
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(site.streams_limit().unwrap_or(STREAMS_LIMIT))
        .max_header_list_size(HEAD_LIMIT_BYTES as u32)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake::<_, Bytes>(lent);
    let Ok(Ok(mut connection)) = timeout(HANDSHAKE_FOR, handshake).await else { return };
    let end = drive(&mut connection, &site, tell, told).await;
    drop(connection);
    let wire = back.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut wire) = wire else { return };
    match end {
        // A graceful end is one that the crate has carried out.
        End::Gone | End::GoAwayGracefully => {}
        End::Reset => wire.reset(),
        End::Close => wire.finish().await,
        End::Drop => wire.end(Ending::Drop).await,
        End::Garbage(bytes) => {
            let _ = wire.write_all(&bytes).await;
            wire.finish().await;
        }
        End::TooManyPings => {
            let _ = wire.write_all(&too_many_pings()).await;
            wire.finish().await;
        }
        End::GoAway(stream) => {
            let _ = wire.write_all(&goaway(stream.saturating_sub(2))).await;
            wire.finish().await;
        }
    }
}

/// Accepts streams, and carries what they send, until something ends the connection.
async fn drive(
    connection: &mut Connection<Lent, Bytes>,
    site: &Arc<Site>,
    tell: mpsc::Sender<End>,
    mut told: mpsc::Receiver<End>,
) -> End {
    let spread = site.spread();
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut streams = JoinSet::new();
    let mut rules = site.rules.subscribe();
    let mut served = 0u64;
    let mut idle_since = Instant::now();
    let mut is_closing = false;
    loop {
        let IdleUntil { close_at, look_again_at } = site.idle_until(idle_since, spread);
        let close_at = close_at.unwrap_or(idle_since + HOLD_FOR).min(idle_since + HOLD_FOR);
        let wake_at = look_again_at.map_or(close_at, |turn| turn.min(close_at));
        let is_idle = streams.is_empty() && !is_closing;
        tokio::select! {
            biased;
            end = told.recv() => match end {
                Some(End::GoAway(stream)) => {
                    let _ = timeout(EARLIER_STREAMS_FOR, finish_streams(connection, &mut streams, &waiting)).await;
                    return End::GoAway(stream);
                }
                Some(End::GoAwayGracefully) => {
                    is_closing = true;
                    connection.graceful_shutdown();
                }
                Some(end) => return end,
                None => return End::Gone,
            },
            _ = streams.join_next(), if !streams.is_empty() => idle_since = Instant::now(),
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return End::Gone };
                if served > 0 && streams.is_empty() && let Some(ending) = site.ending_on_reuse() {
                    return match ending {
                        Ending::Fin => End::Close,
                        Ending::Drop => End::Drop,
                        Ending::Reset => End::Reset,
                    };
                }
                served += 1;
                streams.spawn(exchange(site.clone(), request, respond, tell.clone(), waiting.clone()));
            }
            changed = rules.changed(), if is_idle => if changed.is_err() { return End::Gone },
            () = sleep_until(wake_at), if is_idle => if wake_at >= close_at {
                // An idle HTTP/2 connection is closed politely; accept() says when that is done.
                is_closing = true;
                connection.graceful_shutdown();
            },
        }
    }
}

/// Lets streams end that were accepted before, and their last bytes leave; new ones get no answer.
async fn finish_streams(
    connection: &mut Connection<Lent, Bytes>,
    streams: &mut JoinSet<()>,
    waiting: &AtomicUsize,
) {
    // Kept, for a stream that is dropped is reset, and GOAWAY alone shall speak of it. The crate bounds them.
    let mut late = Vec::new();
    while streams.len() > waiting.load(Ordering::Relaxed) {
        tokio::select! {
            _ = streams.join_next() => {}
            accepted = connection.accept() => match accepted {
                Some(Ok(stream)) => late.push(stream),
                Some(Err(_)) | None => return,
            },
        }
    }
    let _ = timeout(SETTLE_FOR, connection.accept()).await;
}

async fn exchange(
    site: Arc<Site>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    tell: mpsc::Sender<End>,
    waiting: Arc<AtomicUsize>,
) {
    let (head, body) = request.into_parts();
    let mut request = Request::new(head.method, &head.uri, head.headers);
    site.oracle.received(site.entry(&request));
    match timeout(BODY_FOR, read_body(body, &mut request.body)).await {
        Ok(Ok(())) => {}
        Ok(Err(TooLarge::Yes)) => {
            let reply = Reply::error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
            let _ = send(&mut respond, reply, Manner::Whole, &mut 0).await;
            return;
        }
        Ok(Err(TooLarge::Gone)) => return,
        Err(_) => return respond.send_reset(Reason::CANCEL),
    }
    let end = match carry_out(&site, &request).await {
        Outcome::Silence => return hold(&mut respond).await,
        Outcome::RefuseStream => return respond.send_reset(Reason::REFUSED_STREAM),
        Outcome::GoAwayGracefully(reply) => {
            // Told before the answer is sent: what the peer sends until it hears of it crosses.
            let _ = tell.try_send(End::GoAwayGracefully);
            let mut answer = site.oracle.answer(site.entry(&request));
            let sent = send(&mut respond, *reply, Manner::Whole, &mut answer.body_bytes).await;
            return answer.ended(sent == Ok(true));
        }
        Outcome::Answer(reply, manner) => {
            let mut answer = site.oracle.answer(site.entry(&request));
            let sent = send(&mut respond, *reply, manner, &mut answer.body_bytes).await;
            if manner != Manner::HalfHead {
                answer.ended(sent == Ok(true));
            }
            return;
        }
        Outcome::Reset => End::Reset,
        Outcome::Close => End::Close,
        Outcome::Garbage(bytes) => End::Garbage(bytes),
        Outcome::GoAway => End::GoAway(respond.stream_id().as_u32()),
    };
    // Dropping the stream would reset it in good order, and that isn't how a server dies.
    waiting.fetch_add(1, Ordering::Relaxed);
    // A second stream that wants to end the connection is late: it ends anyway.
    let _ = tell.try_send(end);
    sleep(HOLD_FOR).await;
}

enum TooLarge {
    Yes,
    Gone,
}

async fn read_body(mut stream: RecvStream, body: &mut Body) -> Result<(), TooLarge> {
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(|_| TooLarge::Gone)?;
        body.add(&piece);
        if body.length > BODY_LIMIT_BYTES {
            return Err(TooLarge::Yes);
        }
        stream.flow_control().release_capacity(piece.len()).map_err(|_| TooLarge::Gone)?;
    }
    body.trailers = stream.trailers().await.map_err(|_| TooLarge::Gone)?.unwrap_or_default();
    Ok(())
}

/// Sends an answer; whether it was sent whole. `sent` grows with its body.
async fn send(
    respond: &mut SendResponse<Bytes>,
    mut reply: Reply,
    manner: Manner,
    sent: &mut u64,
) -> Result<bool, Gone> {
    reply.seal();
    let cut = match manner {
        Manner::HalfHead => {
            hold(respond).await;
            return Ok(false);
        }
        Manner::HeadOnly => Some((HEAD_ONLY, After::Reset)),
        Manner::Cut(cut, after) => cut.map(|cut| (cut, after)),
        Manner::Whole | Manner::Pieces(..) => None,
    };
    let mut response = http::Response::new(());
    *response.status_mut() = reply.status;
    *response.headers_mut() = std::mem::take(&mut reply.headers);
    let is_empty = reply.source.left() == Some(0) && reply.trailers.is_empty() && cut.is_none();
    let mut stream = respond.send_response(response, is_empty || reply.is_to_head)?;
    if is_empty || reply.is_to_head {
        return Ok(true);
    }
    let at = cut.map_or(u64::MAX, |(cut, _)| cut.at);
    let is_over = send_body(&mut stream, &mut reply, manner, at, sent).await?;
    let Some((_, after)) = cut.filter(|(cut, _)| !(is_over && cut.spares_shorter)) else {
        if reply.trailers.is_empty() {
            stream.send_data(Bytes::new(), true)?;
        } else {
            stream.send_trailers(reply.trailers)?;
        }
        return Ok(true);
    };
    // The crate forgets what is unsent when a stream is reset, and doesn't say when it has been sent.
    sleep(SETTLE_FOR).await;
    match after {
        After::Silence => hold(respond).await,
        After::Close if !reply.chunked => stream.send_data(Bytes::new(), true)?,
        After::Close => stream.send_reset(Reason::CANCEL),
        After::Reset => stream.send_reset(Reason::INTERNAL_ERROR),
    }
    Ok(false)
}

/// Sends at most so many bytes of the body; whether that was all of it.
async fn send_body(
    stream: &mut SendStream<Bytes>,
    reply: &mut Reply,
    manner: Manner,
    mut left: u64,
    sent: &mut u64,
) -> Result<bool, Gone> {
    let (piece_bytes, pause) = match manner {
        Manner::Pieces(bytes, every) => (bytes, Some(every)),
        _ => (u64::MAX, None),
    };
    while left > 0 {
        let most = usize::try_from(left.min(piece_bytes)).unwrap_or(usize::MAX);
        let Some(mut piece) = reply.source.next(most).await else { return Ok(true) };
        left -= piece.len() as u64;
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let granted = poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or(Gone)??;
            let count = granted.min(piece.len());
            stream.send_data(piece.split_to(count), false)?;
            *sent += count as u64;
        }
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
    Ok(false)
}

/// A cut before the first byte.
const HEAD_ONLY: Cut = Cut { at: 0, edge: Edge::Whole, spares_shorter: false };

/// Stays silent until the peer resets the stream.
async fn hold(respond: &mut SendResponse<Bytes>) {
    let _ = timeout(HOLD_FOR, poll_fn(|cx| respond.poll_reset(cx))).await;
}

/// The stream or its connection is gone; there is nobody left to tell.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

impl From<h2::Error> for Gone {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// A GOAWAY frame without an error (RFC 9113, 6.8). Written by hand, for the crate's own never names a last
/// stream below one that it has handed out.
fn goaway(last_stream: u32) -> [u8; 17] {
    let mut frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[9..13].copy_from_slice(&last_stream.to_be_bytes());
    frame
}

/// The same with ENHANCE_YOUR_CALM and the words that gRPC servers send; all streams were taken in.
fn too_many_pings() -> Vec<u8> {
    let words = b"too_many_pings";
    let mut frame = vec![0, 0, 8 + words.len() as u8, 7, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    frame.extend_from_slice(&11_u32.to_be_bytes());
    frame.extend_from_slice(words);
    frame
}

/// Watches the frames that come in for PINGs that come too often. The crate answers them without a word.
struct PingPolicy {
    site: Arc<Site>,
    tell: mpsc::Sender<End>,
    frames: Frames,
    last_ping_at: Option<Instant>,
    strikes: u32,
}

impl PingPolicy {
    fn new(site: Arc<Site>, tell: mpsc::Sender<End>) -> Self {
        let frames = Frames { skip: PREFACE.len(), head: Vec::new() };
        Self { site, tell, frames, last_ping_at: None, strikes: 0 }
    }

    fn look_at(&mut self, bytes: &[u8]) {
        for _ in 0..self.frames.pings(bytes) {
            let now = Instant::now();
            let last = self.last_ping_at.replace(now);
            let Some(every) = self.site.pings_at_most_every() else { continue };
            let is_early = last.is_some_and(|last| now.duration_since(last) < every);
            self.strikes = if is_early { self.strikes + 1 } else { 0 };
            if self.strikes >= STRIKES_LIMIT {
                let _ = self.tell.try_send(End::TooManyPings);
            }
        }
    }
}

/// Where frames begin in a stream of bytes (RFC 9113, 4.1).
struct Frames {
    /// Bytes until the next frame's head.
    skip: usize,
    head: Vec<u8>,
}

impl Frames {
    /// The PINGs, without answers to ours, whose head ends in these bytes.
    fn pings(&mut self, mut bytes: &[u8]) -> u32 {
        let mut pings = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
            let count = (HEAD_BYTES - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if let [high, middle, low, kind, flags, ..] = self.head[..]
                && self.head.len() == HEAD_BYTES
            {
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                pings += u32::from(kind == PING && flags & ACK == 0);
                self.head.clear();
            }
        }
        pings
    }
}

const HEAD_BYTES: usize = 9;

const PING: u8 = 6;

const ACK: u8 = 1;

/// The first early PINGs are forgiven; as with gRPC servers, the third in a row isn't.
const STRIKES_LIMIT: u32 = 2;

/// A wire that comes back when its borrower is dropped.
struct Lent {
    /// Empty only while it is being dropped.
    wire: Option<Wire>,
    back: Arc<Mutex<Option<Wire>>>,
    policy: PingPolicy,
}

impl Lent {
    fn wire(&mut self) -> io::Result<Pin<&mut Wire>> {
        self.wire.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.wire.take();
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.wire()?.poll_read(cx, buf);
        self.policy.look_at(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire()?.poll_shutdown(cx)
    }
}

/// Bounds the tasks of a connection; more than the hundred that clients usually open.
const STREAMS_LIMIT: u32 = 256;

/// Nothing of a body is kept, so a large window costs nothing.
const WINDOW_BYTES: u32 = 1 << 20;

/// The task that writes has been woken long before; this only lets it run.
const SETTLE_FOR: Duration = Duration::from_millis(5);

const HANDSHAKE_FOR: Duration = Duration::from_secs(10);

const BODY_FOR: Duration = Duration::from_secs(300);

/// Streams below a GOAWAY may end, but a stalled one can't keep the connection open.
const EARLIER_STREAMS_FOR: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_found_wherever_the_bytes_are_cut() {
        let ping = [0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let answer = [0, 0, 8, PING, ACK, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let bytes = [PREFACE, &settings, &ping, &answer, &ping].concat();
        for size in 1..bytes.len() {
            let mut frames = Frames { skip: PREFACE.len(), head: Vec::new() };
            let found: u32 = bytes.chunks(size).map(|piece| frames.pings(piece)).sum();
            assert_eq!(found, 2, "in pieces of {size}");
        }
    }
}
