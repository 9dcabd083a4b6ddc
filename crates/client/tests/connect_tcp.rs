//! Resolving and connecting for real: what can't be reached, and how that is told.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::time::Duration;

use http::StatusCode;
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, PoolSettings, Scheme};
use mainstay_core::{Break, BreakKind, Certainty};
use peer::{Peer, endpoint, exchange, get};

/// Leases from a target at `host` and `port`, and expects a break.
async fn check(host: &str, port: u16, settings: ConnectSettings, kind: BreakKind) {
    let target = Target::new(&endpoint(Scheme::Http, host, port), &settings).unwrap();
    let broken = target.lease(false).await.unwrap_err();
    assert_eq!(broken.what, Break::new(kind, Certainty::NotSent), "{broken:?}");
    assert_eq!(target.counts().in_use, 0, "a failed attempt gives its place back");
}

async fn answer_once(peer: &Peer) -> peer::Conversation {
    let mut conversation = peer.accept().await;
    conversation.head().await;
    conversation.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    conversation
}

#[tokio::test]
async fn a_port_without_a_listener_refuses() {
    let peer = Peer::listen().await;
    let port = peer.address.port();
    drop(peer);
    check("127.0.0.1", port, ConnectSettings::default(), BreakKind::ConnectRefused).await;
}

#[tokio::test]
async fn an_address_that_nobody_routes_is_unreachable() {
    // Connecting to the class E block fails at once on Linux: it is never routed.
    check("255.255.255.255", 80, ConnectSettings::default(), BreakKind::Unreachable).await;
}

#[tokio::test]
async fn localhost_is_resolved_and_connected_to_whatever_family_it_listens_on() {
    let peer = Peer::listen().await;
    let target = Target::new(
        &endpoint(Scheme::Http, "localhost", peer.address.port()),
        &ConnectSettings::default(),
    );
    let target = target.unwrap();
    let (result, _open) = tokio::join!(exchange(&target, get()), answer_once(&peer));
    assert_eq!(result.unwrap().status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_name_that_is_none_is_not_found() {
    let label = "x".repeat(64);
    check(&format!("{label}.test"), 80, ConnectSettings::default(), BreakKind::NameNotFound).await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_accepts_nothing_times_out() {
    // Time stands still while anything at all happens, and leaps when nothing does. A listening socket with a full backlog drops what comes after: the handshake stays unanswered.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    loop {
        let connecting = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connecting).await {
            Ok(stream) => filling.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let settings = ConnectSettings {
        connect_timeout: Duration::from_millis(50),
        ..ConnectSettings::default()
    };
    check("127.0.0.1", address.port(), settings, BreakKind::ConnectTimeout).await;
}

#[tokio::test]
async fn beyond_the_greatest_number_of_connections_the_limit_is_told() {
    let peer = Peer::listen().await;
    let pool = PoolSettings { max_connections: 2, ..PoolSettings::default() };
    let target = peer.target_with(ConnectSettings { pool, ..ConnectSettings::default() });
    let first = target.lease(true).await.unwrap();
    let second = target.lease(true).await.unwrap();
    let broken = target.lease(true).await.unwrap_err();
    assert_eq!(broken.what, Break::new(BreakKind::LimitReached, Certainty::NotSent));
    drop(first);
    assert_eq!(target.counts().idle, 1);
    let third = target.lease(true).await.unwrap();
    assert!(!third.is_reused(), "an idle connection makes room for a fresh one");
    drop((second, third));
    assert_eq!(target.counts().opened, 3);
}
