//! HTTP/2 over real sockets: what streams carry, how many of them, and what happens to those that there is no place for.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use mainstay::pool::OnInformational;
use mainstay_config::settings::{ConnectSettings, Http2, PoolSettings};
use mainstay_core::{BreakKind, Certainty};
use peer::{Peer, assert_broken, exchange, get, read, request, send, until_counts};
use tokio::net::TcpStream;

fn settings(max_connections: u32) -> ConnectSettings {
    let pool = PoolSettings { max_connections, ..PoolSettings::default() };
    ConnectSettings { http2: Http2::Always, pool, ..ConnectSettings::default() }
}

type Incoming = (Request<RecvStream>, SendResponse<Bytes>);

async fn accept(peer: &Peer, streams: u32) -> Connection<TcpStream, Bytes> {
    let stream = peer.accept().await.stream;
    Builder::new().max_concurrent_streams(streams).handshake(stream).await.unwrap()
}

async fn next(connection: &mut Connection<TcpStream, Bytes>) -> Incoming {
    connection.accept().await.unwrap().unwrap()
}

fn answer(respond: &mut SendResponse<Bytes>, body: &'static str) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
}

/// Serves the connection until it ends.
async fn serve(connection: &mut Connection<TcpStream, Bytes>) {
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        answer(&mut respond, "ok");
    }
}

fn large() -> &'static str {
    Box::leak("0123456789abcdef".repeat(64 * 1024).into_boxed_str())
}

#[tokio::test]
async fn calls_beyond_what_a_peer_allows_get_a_second_connection() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(8));
    let serving = async {
        let mut first = accept(&peer, 1).await;
        let (_, mut held) = next(&mut first).await;
        // The first connection goes on being served, its only stream without an answer.
        tokio::select! {
            _ = first.accept() => panic!("a stream more than allowed"),
            mut second = accept(&peer, 1) => {
                let (_, mut respond) = next(&mut second).await;
                answer(&mut respond, "second");
                answer(&mut held, "first");
                tokio::join!(serve(&mut first), serve(&mut second));
            }
        }
    };
    let calls = async {
        let mut lease = target.lease(false).await.unwrap();
        let (first, second) = tokio::join!(lease.send(get()), exchange(&target, get()));
        assert_eq!(second.unwrap().body, "second");
        assert_eq!(read(first.unwrap()).await.unwrap().body, "first");
        until_counts(&target, |counts| counts.idle == 2).await;
        assert_eq!(target.counts().opened, 2);
    };
    tokio::select! {
        () = calls => {}
        () = serving => panic!("the connections ended"),
    }
}

#[tokio::test]
async fn where_no_further_connection_may_be_opened_calls_wait_for_their_turn() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let serving = tokio::spawn(async move {
        let mut connection = accept(&peer, 1).await;
        let mut open = 0_u32;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            open += 1;
            answer(&mut respond, "ok");
        }
        open
    });
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let target = Arc::clone(&target);
        calls.spawn(async move { exchange(&target, get()).await.unwrap() });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().body, "ok");
    }
    assert_eq!(target.counts().opened, 1);
    until_counts(&target, |counts| counts.idle == 1).await;
    drop(target);
    assert_eq!(serving.await.unwrap(), 20);
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_when_the_connection_ends_was_not_sent() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let (first, second) = tokio::join!(
        async {
            let mut lease = target.lease(false).await.unwrap();
            lease.send(get()).await.map(drop)
        },
        async {
            let mut connection = accept(&peer, 1).await;
            let held = next(&mut connection).await;
            let waits = async {
                let mut lease = target.lease(false).await.unwrap();
                lease.send(get()).await.map(drop)
            };
            let ends = async {
                // Until the second call waits: the connection is driven on meanwhile.
                while target.counts().reused == 0 {
                    tokio::select! {
                        biased;
                        _ = connection.accept() => panic!("a stream more than allowed"),
                        () = tokio::task::yield_now() => {}
                    }
                }
                drop((held, connection));
            };
            tokio::join!(waits, ends).0
        }
    );
    assert_eq!(first.unwrap_err().what.certainty, Certainty::MaybeProcessed);
    let second = second.unwrap_err().what;
    assert_eq!((second.kind, second.certainty), (BreakKind::ClosedWhileIdle, Certainty::NotSent));
}

#[tokio::test]
async fn a_large_body_is_sent_as_the_peers_windows_allow() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let serving = async {
        let mut connection = accept(&peer, 1).await;
        let (request, mut respond) = next(&mut connection).await;
        assert_eq!(request.headers()["content-length"], "1048576");
        let reading = tokio::spawn(async move {
            let mut body = request.into_body();
            let mut read = 0;
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                read += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            assert_eq!(read, 1 << 20);
            answer(&mut respond, "read");
        });
        serve(&mut connection).await;
        reading.await.unwrap();
    };
    tokio::select! {
        whole = exchange(&target, request(Method::PUT, large())) => {
            assert_eq!(whole.unwrap().body, "read");
        }
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn an_early_answer_with_no_error_ends_the_upload_and_counts() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let serving = async {
        let mut connection = accept(&peer, 1).await;
        let (request, mut respond) = next(&mut connection).await;
        answer(&mut respond, "early");
        // Given up after its answer, a stream is reset with NO_ERROR.
        drop((request, respond));
        serve(&mut connection).await;
    };
    let calls = async {
        let whole = exchange(&target, request(Method::PUT, large())).await.unwrap();
        assert_eq!(whole.body, "early");
        assert_eq!(exchange(&target, get()).await.unwrap().body, "ok");
        assert_eq!(target.counts().opened, 1);
    };
    tokio::select! {
        () = calls => {}
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn an_answer_that_is_dropped_ends_the_upload_beside_it() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let serving = async {
        let mut connection = accept(&peer, 1).await;
        let (_request, mut respond) = next(&mut connection).await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let driving = async { while connection.accept().await.is_some() {} };
        tokio::select! {
            () = driving => panic!("the connection ended"),
            reset = poll_fn(|cx| stream.poll_reset(cx)) => {
                assert_eq!(reset.unwrap(), Reason::CANCEL);
            }
        }
    };
    let call = async {
        drop(send(&target, request(Method::PUT, large())).await.unwrap());
    };
    tokio::join!(serving, call);
}

#[tokio::test]
async fn a_body_that_is_reset_with_cancel_or_no_error_is_not_complete() {
    for reason in [Reason::CANCEL, Reason::NO_ERROR] {
        let peer = Peer::listen().await;
        let target = peer.target_with(settings(1));
        let serving = async {
            let mut connection = accept(&peer, 1).await;
            let (_, mut respond) = next(&mut connection).await;
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"part"), false).unwrap();
            // Data that is sent and a reset at once would leave the reset only.
            tokio::select! {
                biased;
                _ = connection.accept() => panic!("one call only"),
                () = tokio::task::yield_now() => {}
            }
            stream.send_reset(reason);
            serve(&mut connection).await;
        };
        tokio::select! {
            result = exchange(&target, get()) => {
                assert_broken(result, BreakKind::BodyReset, Certainty::Processed);
            }
            () = serving => panic!("the connection ended"),
        }
    }
}

#[tokio::test]
async fn a_100_reaches_whoever_waits_for_it() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let serving = async {
        let mut connection = accept(&peer, 1).await;
        let (_request, mut respond) = next(&mut connection).await;
        let informational = |status| Response::builder().status(status).body(()).unwrap();
        respond.send_informational(informational(StatusCode::EARLY_HINTS)).unwrap();
        respond.send_informational(informational(StatusCode::CONTINUE)).unwrap();
        answer(&mut respond, "ok");
        serve(&mut connection).await;
    };
    let told = Arc::new(AtomicBool::new(false));
    let mut asks = request(Method::POST, "body");
    let tell = Arc::clone(&told);
    asks.extensions_mut().insert(OnInformational(Arc::new(move |status, _| {
        tell.fetch_or(status == StatusCode::CONTINUE, Ordering::Relaxed);
    })));
    tokio::select! {
        whole = exchange(&target, asks) => assert_eq!(whole.unwrap().body, "ok"),
        () = serving => panic!("the connection ended"),
    }
    assert!(told.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_peer_that_says_nothing_of_itself_keeps_nobody_waiting_but_those_who_would_share() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(1));
    let mut lease = target.lease(false).await.unwrap();
    let _silent = peer.accept().await;
    let waits = target.lease(false);
    tokio::select! {
        biased;
        _ = lease.send(get()) => panic!("nobody answers"),
        _ = waits => panic!("how many may share the connection isn't known"),
        () = tokio::task::yield_now() => {}
    }
    assert!(lease.was_sent());
}
