//! Runs hyper's HTTP/2 engine on a connection, until it is over.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::link::{Link, Order};
use super::stream::Stream;
use super::wire::Wire;
use crate::forward::{Reply, handle};

/// Runs the engine. `preface` are bytes that were read already.
pub(super) async fn serve(link: Arc<Link>, stream: Stream, preface: Bytes) {
    link.set_http2();
    let wire = TokioIo::new(Wire::http2(Arc::clone(&link), stream, preface));
    let called = Arc::clone(&link);
    let service = service_fn(move |request: Request<Incoming>| {
        let link = Arc::clone(&called);
        async move { Ok::<Response<Reply>, Infallible>(handle(link, request).await) }
    });
    let mut engine = Box::new(link.worker().local().http2.serve_connection(wire, service));
    let mut told = 0;
    let ended = poll_fn(|cx| {
        match link.take_order() {
            // An application that doesn't read is let go of; one that is idle is told to go, and let go of if it doesn't hear.
            Some(Order::Close) if link.is_blocked() || told == TOLD_TO_GO => {
                return Poll::Ready(Ok(()));
            }
            Some(Order::Close) => {
                told += 1;
                Pin::new(&mut *engine).graceful_shutdown();
            }
            Some(Order::Drain) => Pin::new(&mut *engine).graceful_shutdown(),
            Some(Order::Park | Order::HeadTimeout) | None => {}
        }
        Pin::new(&mut *engine).poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(error = &error as &dyn Error, "a connection of an application broke");
    }
}

/// How often an idle application is told to go, at the rhythm of the sweep, before it is let go of: time for its answer to the PING
/// that comes with a GOAWAY. One that never finished its handshake isn't told anything.
const TOLD_TO_GO: u32 = 4;
