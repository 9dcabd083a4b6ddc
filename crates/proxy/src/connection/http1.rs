//! Runs hyper's HTTP/1.1 engine on a connection, until it is over or worth parking.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;

use super::close;
use super::link::{Link, Order};
use super::stream::Stream;
use super::wire::{self, Wire};
use crate::forward::{Reply, handle};

/// How the engine's run ended.
pub(super) enum End {
    /// The connection is over.
    Over,
    /// It is between two requests. Bytes of the next one may have been read already.
    Parked(Stream, Bytes),
    /// It speaks HTTP/2, and began with these bytes.
    Http2(Stream, Bytes),
}

/// Why the engine was left.
enum Stop {
    /// It is done: the connection is shut down, or turned out to speak HTTP/2.
    Done,
    /// It took nothing sensible from the application, and has said so.
    Refused,
    /// The connection or an answer broke.
    Broke,
    Parked,
    Order(Order),
}

/// Runs the engine.
pub(super) async fn serve(link: &Arc<Link>, stream: Stream, prefix: Bytes) -> End {
    let wire = TokioIo::new(Wire::http1(Arc::clone(link), stream, prefix));
    let called = Arc::clone(link);
    let service = service_fn(move |request: Request<Incoming>| {
        let link = Arc::clone(&called);
        async move {
            let mut response = handle(Arc::clone(&link), request).await;
            // Told even where the order to drain hasn't reached this worker yet.
            if link.worker().shared().is_draining()
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<Response<Reply>, Infallible>(response)
        }
    });
    // In a box: the engine is large, and a parked connection's task must be small.
    let builder = &link.worker().local().http1;
    let connection = if link.worker().shared().is_draining() {
        builder.clone().keep_alive(false).serve_connection(wire, service)
    } else {
        builder.serve_connection(wire, service)
    };
    let mut engine = Box::new(connection.with_upgrades());
    let stop = poll_fn(|cx| poll_engine(link, &mut engine, cx)).await;
    match engine.into_parts() {
        Some(parts) => end(link, stop, parts.io.into_inner(), parts.read_buf).await,
        // It was upgraded, and belongs to the tunnel now.
        None => End::Over,
    }
}

fn poll_engine<S>(link: &Link, engine: &mut Engine<S>, cx: &mut Context<'_>) -> Poll<Stop>
where
    S: HttpService<Incoming, ResBody = Reply>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match link.take_order() {
        Some(Order::Park) if link.is_between_requests() => return poll_park(link, engine, cx),
        Some(Order::Park) | None => {}
        Some(Order::Drain) => {
            // A request that is there already is answered; it is the last.
            if let Poll::Ready(stop) = poll_on(engine, cx) {
                return Poll::Ready(stop);
            }
            Pin::new(&mut *engine).graceful_shutdown();
        }
        Some(order @ (Order::Close | Order::HeadTimeout)) => {
            return Poll::Ready(Stop::Order(order));
        }
    }
    poll_on(engine, cx)
}

/// Asks hyper to shut down, which it does at once only if it is between two requests by its own account too; the
/// socket stays open meanwhile. If it isn't (the rest of a request's body is still coming, though it has been
/// answered), it goes on and closes when that is over.
fn poll_park<S>(link: &Link, engine: &mut Engine<S>, cx: &mut Context<'_>) -> Poll<Stop>
where
    S: HttpService<Incoming, ResBody = Reply>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    link.set_keeps_open(true);
    Pin::new(&mut *engine).graceful_shutdown();
    let polled = poll_on(engine, cx);
    link.set_keeps_open(false);
    polled.map(|stop| if matches!(stop, Stop::Done) { Stop::Parked } else { stop })
}

fn poll_on<S>(engine: &mut Engine<S>, cx: &mut Context<'_>) -> Poll<Stop>
where
    S: HttpService<Incoming, ResBody = Reply>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    Pin::new(engine).poll(cx).map(|ended| match ended {
        Ok(()) => Stop::Done,
        Err(error) => {
            tracing::debug!(error = &error as &dyn Error, "a connection of an application broke");
            if error.is_parse() { Stop::Refused } else { Stop::Broke }
        }
    })
}

async fn end(link: &Link, stop: Stop, wire: Wire, read: Bytes) -> End {
    let (suspect, ended) = (wire.is_suspect(), wire.has_ended());
    let (stream, prefix) = wire.into_parts();
    match stop {
        Stop::Parked if ended => End::Over,
        Stop::Parked => End::Parked(stream, joined(&read, &prefix)),
        Stop::Done if suspect => told_apart(link, stream, prefix).await,
        Stop::Done | Stop::Refused if ended => End::Over,
        Stop::Done | Stop::Refused => {
            close::linger(stream).await;
            End::Over
        }
        Stop::Broke => {
            close::abort(stream, link.ends_by_close());
            End::Over
        }
        Stop::Order(Order::HeadTimeout) => {
            close::too_slow(stream).await;
            End::Over
        }
        Stop::Order(_) => End::Over,
    }
}

/// Reads until the bytes are the whole preface of HTTP/2, or are not.
async fn told_apart(link: &Link, mut stream: Stream, prefix: Bytes) -> End {
    let mut bytes = BytesMut::from(prefix);
    loop {
        match wire::is_preface(&bytes) {
            Some(true) => return End::Http2(stream, bytes.freeze()),
            Some(false) => return End::Parked(stream, bytes.freeze()),
            None => {}
        }
        link.note_read();
        if !close::read_more(link, &mut stream, &mut bytes).await {
            return End::Over;
        }
    }
}

/// Both, in memory of their own: bytes that hyper gives back hold its whole buffer, even where there are none.
fn joined(first: &[u8], second: &[u8]) -> Bytes {
    if first.is_empty() && second.is_empty() {
        return Bytes::new();
    }
    [first, second].concat().into()
}

type Engine<S> = UpgradeableConnection<TokioIo<Wire>, S>;
