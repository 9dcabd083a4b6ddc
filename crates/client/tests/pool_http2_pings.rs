//! PINGs over real sockets: a connection that is dead without a word is found before it is used, and while streams wait.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{Connection, SendResponse};
use http::{Method, Response};
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, Http2};
use mainstay_core::ping::PingSettings;
use mainstay_core::{BreakKind, Certainty};
use peer::{Failed, Peer, assert_broken, exchange, get, request};
use tokio::net::TcpStream;

/// Lengths that a test can wait for, where it has to.
fn target(peer: &Peer) -> Arc<Target> {
    target_with(peer, Some(Duration::from_millis(40)))
}

fn target_with(peer: &Peer, interval: Option<Duration>) -> Arc<Target> {
    let pings = PingSettings {
        idle: Some(Duration::from_secs(10)),
        interval,
        timeout: Duration::from_millis(50),
    };
    peer.target_with(ConnectSettings { http2: Http2::Always, pings, ..ConnectSettings::default() })
}

async fn accept(peer: &Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.accept().await.stream).await.unwrap()
}

fn answer(respond: &mut SendResponse<Bytes>) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
}

/// Serves one request.
async fn serve_one(connection: &mut Connection<TcpStream, Bytes>) {
    answer(&mut connection.accept().await.unwrap().unwrap().1);
}

/// Serves the connection until it ends.
async fn serve(connection: &mut Connection<TcpStream, Bytes>) {
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        answer(&mut respond);
    }
}

/// Makes one exchange on the connection, which is driven until it is over.
async fn first_exchange(target: &Arc<Target>, connection: &mut Connection<TcpStream, Bytes>) {
    tokio::select! {
        result = exchange(target, get()) => assert_eq!(result.unwrap().body, "ok"),
        () = serve(connection) => panic!("the connection ended"),
    }
}

async fn opened(peer: &Peer, target: &Arc<Target>) -> Connection<TcpStream, Bytes> {
    let (connection, result) = tokio::join!(
        async {
            let mut connection = accept(peer).await;
            serve_one(&mut connection).await;
            // Driven until its answer has been taken.
            tokio::select! {
                _ = connection.accept() => panic!("one call only"),
                () = peer::until_counts(target, |counts| counts.idle == 1) => {}
            }
            connection
        },
        exchange(target, get())
    );
    assert_eq!(result.unwrap().body, "ok");
    connection
}

/// Lets time pass that nobody waits for.
async fn pass(secs: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(secs)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_quiet_connection_that_lives_is_used_again() {
    let peer = Peer::listen().await;
    let target = target(&peer);
    let mut connection = opened(&peer, &target).await;
    pass(11).await;
    first_exchange(&target, &mut connection).await;
    assert_eq!(target.counts().opened, 1);
}

#[tokio::test]
async fn a_quiet_connection_that_is_dead_is_found_before_anything_is_sent() {
    let peer = Peer::listen().await;
    let target = target(&peer);
    // Nobody reads from it any more, and nobody closes it.
    let _black_hole = opened(&peer, &target).await;
    pass(11).await;
    let result = exchange(&target, request(Method::POST, "once")).await;
    if let Err(Failed::Head(broken)) = &result {
        assert!(broken.details.as_ref().unwrap().contains("PING"), "{broken:?}");
    }
    assert_broken(result, BreakKind::ClosedWhileIdle, Certainty::NotSent);
    let _second = opened(&peer, &target).await;
    assert_eq!(target.counts().opened, 2);
}

#[tokio::test]
async fn a_stream_that_waits_on_a_dead_connection_breaks_long_before_its_timeout() {
    let peer = Peer::listen().await;
    let target = target(&peer);
    let (result, _black_hole) = tokio::join!(exchange(&target, get()), async {
        let mut connection = accept(&peer).await;
        let asked = connection.accept().await.unwrap().unwrap();
        (connection, asked)
    });
    if let Err(Failed::Head(broken)) = &result {
        assert!(broken.evidence.as_ref().unwrap().contains("PING"), "{broken:?}");
    }
    assert_broken(result, BreakKind::StreamError, Certainty::MaybeProcessed);
}

#[tokio::test]
async fn a_stream_that_waits_on_a_slow_server_goes_on() {
    let peer = Peer::listen().await;
    let target = target(&peer);
    let (result, ()) = tokio::join!(exchange(&target, get()), async {
        let mut connection = accept(&peer).await;
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        // Ten times the interval: PINGs are answered meanwhile, and then no longer sent.
        let slow = tokio::time::sleep(Duration::from_millis(400));
        tokio::select! {
            _ = connection.accept() => panic!("the connection ended"),
            () = slow => answer(&mut respond),
        }
        tokio::select! {
            () = serve(&mut connection) => {}
            () = peer::until_counts(&target, |counts| counts.idle == 1) => {}
        }
    });
    assert_eq!(result.unwrap().body, "ok");
}

#[tokio::test]
async fn a_body_on_a_dead_connection_has_stalled() {
    let peer = Peer::listen().await;
    let target = target(&peer);
    let (result, _black_hole) = tokio::join!(exchange(&target, get()), async {
        let mut connection = accept(&peer).await;
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"part"), false).unwrap();
        tokio::select! {
            biased;
            _ = connection.accept() => panic!("the connection ended"),
            () = tokio::task::yield_now() => {}
        }
        (connection, stream)
    });
    assert_broken(result, BreakKind::BodyStalled, Certainty::Processed);
}

#[tokio::test]
async fn a_peer_that_wants_calm_is_asked_half_as_often() {
    let peer = Peer::listen().await;
    let target = target_with(&peer, None);
    let mut first = opened(&peer, &target).await;
    first.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    while first.accept().await.is_some() {}
    drop(first);
    peer::until_counts(&target, |counts| counts.in_use + counts.idle == 0).await;
    let mut second = opened(&peer, &target).await;
    pass(11).await;
    // Not PINGed after 11 s, the connection isn't missed while nobody drives it for twice the time for an answer.
    let mut lease = target.lease(false).await.unwrap();
    tokio::select! {
        answered = lease.send(get()) => answered.map(drop).unwrap(),
        () = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            serve(&mut second).await;
        } => panic!("the connection ended"),
    }
    assert_eq!(target.counts().opened, 2);
}
