//! Learning when a peer closes idle connections, and letting go of them before.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;
use std::time::Duration;

use mainstay::Clock;
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, Http2, PoolSettings};
use peer::{Peer, exchange, get};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// When the servers here close a connection: far longer than a busy machine is late, so that closes agree.
const LIMIT: Duration = Duration::from_millis(300);

/// A server that answers each request and closes a connection that was idle for so long.
fn server(peer: Peer, idle_limit: Duration, fields: &'static str) -> AbortHandle {
    let serve = async move {
        loop {
            let mut conversation = peer.accept().await;
            tokio::spawn(async move {
                while let Ok(Some(_)) = timeout(idle_limit, conversation.next_head()).await {
                    conversation
                        .say(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{fields}\r\nok"))
                        .await;
                }
            });
        }
    };
    tokio::spawn(serve).abort_handle()
}

/// One exchange, and sweeps until nothing of it is left.
async fn use_and_rest(target: &Arc<Target>) {
    exchange(target, get()).await.unwrap();
    while target.counts().idle > 0 {
        target.sweep(Clock::now());
        yield_now().await;
    }
    // One whose socket is closed counts as idle no more, and is noticed by this.
    target.sweep(Clock::now());
}

fn pool(learn_idle: bool) -> ConnectSettings {
    ConnectSettings {
        pool: PoolSettings { learn_idle, ..PoolSettings::default() },
        ..ConnectSettings::default()
    }
}

async fn until_learned(target: &Arc<Target>) {
    let learning = async {
        while target.counts().idle_limit.is_none() {
            use_and_rest(target).await;
        }
    };
    timeout(PATIENCE, learning).await.unwrap();
}

#[tokio::test]
async fn a_limit_that_was_seen_is_obeyed() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let server = server(peer, LIMIT, "");
    until_learned(&target).await;
    let learned = target.counts();
    // We are idle from when the answer has come, the server from when it has sent it: a little earlier.
    assert!(learned.idle_limit.unwrap() >= LIMIT - LIMIT / 5, "{learned:?}");
    assert!(learned.closed_stale >= 2 && learned.stale_avoided == 0, "{learned:?}");
    use_and_rest(&target).await;
    let after = target.counts();
    assert_eq!((after.closed_stale, after.stale_avoided), (learned.closed_stale, 1));
    server.abort();
}

#[tokio::test]
async fn a_hint_is_obeyed_from_the_first_answer_on() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let server = server(peer, PATIENCE, "keep-alive: timeout=5, max=100\r\n");
    exchange(&target, get()).await.unwrap();
    assert_eq!(target.counts().idle_limit, Some(Duration::from_secs(5)));
    target.sweep(Clock::now() + Duration::from_millis(4_000));
    assert_eq!((target.counts().idle, target.counts().stale_avoided), (1, 0));
    target.sweep(Clock::now() + Duration::from_millis(4_600));
    assert_eq!(target.counts().stale_avoided, 1);
    server.abort();
}

#[tokio::test]
async fn nothing_is_learned_where_that_is_switched_off() {
    let peer = Peer::listen().await;
    let target = peer.target_with(pool(false));
    let server = server(peer, PATIENCE, "keep-alive: timeout=5\r\n");
    exchange(&target, get()).await.unwrap();
    target.sweep(Clock::now() + Duration::from_secs(6));
    assert_eq!((target.counts().idle_limit, target.counts().stale_avoided), (None, 0));
    server.abort();
}

/// A server of HTTP/2 that closes a connection that was idle for so long.
fn server_of_streams(peer: Peer, idle_limit: Duration) -> AbortHandle {
    let serve = async move {
        loop {
            let stream = peer.accept().await.stream;
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Ok(Some(Ok((_, mut respond)))) =
                    timeout(idle_limit, connection.accept()).await
                {
                    respond.send_response(http::Response::new(()), true).unwrap();
                }
            });
        }
    };
    tokio::spawn(serve).abort_handle()
}

#[tokio::test]
async fn a_limit_is_learned_and_obeyed_over_http2_too() {
    let peer = Peer::listen().await;
    let target =
        peer.target_with(ConnectSettings { http2: Http2::Always, ..ConnectSettings::default() });
    let server = server_of_streams(peer, LIMIT);
    until_learned(&target).await;
    let learned = target.counts();
    use_and_rest(&target).await;
    let after = target.counts();
    assert_eq!((after.closed_stale, after.stale_avoided), (learned.closed_stale, 1));
    server.abort();
}
