//! Keeping connections: how many, how long, and across threads.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;
use std::time::Duration;

use mainstay::Clock;
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, PoolSettings};
use peer::{Conversation, Peer, exchange, get, until_counts};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn settings(pool: PoolSettings) -> ConnectSettings {
    ConnectSettings { pool, ..ConnectSettings::default() }
}

/// A target by these settings that has made one exchange, with the peer's end of the connection.
async fn used(pool: PoolSettings) -> (Peer, Arc<Target>, Conversation) {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings(pool));
    let (first, conversation) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    first.unwrap();
    (peer, target, conversation)
}

#[tokio::test]
async fn where_none_may_be_idle_none_is_kept() {
    let (_peer, target, mut conversation) =
        used(PoolSettings { max_idle: 0, ..PoolSettings::default() }).await;
    conversation.ended().await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn a_sweep_closes_what_has_been_idle_for_long_enough() {
    let pool = PoolSettings { idle_timeout: Duration::from_secs(50), ..PoolSettings::default() };
    let (_peer, target, mut conversation) = used(pool).await;
    target.sweep(Clock::now() + Duration::from_secs(49));
    assert_eq!(target.counts().idle, 1);
    target.sweep(Clock::now() + Duration::from_secs(51));
    conversation.ended().await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!((target.counts().idle, target.counts().closed_stale), (0, 0));
}

#[tokio::test]
async fn a_connection_older_than_its_greatest_age_is_not_kept() {
    let pool = PoolSettings { max_age: Duration::ZERO, ..PoolSettings::default() };
    let (_peer, target, mut conversation) = used(pool).await;
    conversation.ended().await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn a_sweep_removes_what_the_peer_has_closed() {
    let (_peer, target, conversation) = used(PoolSettings::default()).await;
    drop(conversation);
    until_counts(&target, |counts| counts.idle == 0).await;
    target.sweep(Clock::now());
    assert_eq!(target.counts().closed_stale, 1);
}

/// Makes one exchange on a thread of its own with a runtime of its own, and leaves when told.
fn thread(
    target: Arc<Target>,
    leave: std::sync::mpsc::Receiver<()>,
) -> (std::thread::JoinHandle<()>, Done) {
    let (done, wait) = tokio::sync::oneshot::channel();
    let handle = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            exchange(&target, get()).await.unwrap();
            done.send(()).unwrap();
            // The runtime goes on until told, since its connections live on it.
            tokio::task::spawn_blocking(move || leave.recv()).await.unwrap().unwrap();
        });
    });
    (handle, wait)
}

type Done = tokio::sync::oneshot::Receiver<()>;

#[tokio::test]
async fn a_thread_without_an_idle_connection_takes_another_threads() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (leave, left) = std::sync::mpsc::channel();
    let (handle, done) = thread(Arc::clone(&target), left);
    let mut conversation = peer.accept().await;
    conversation.head().await;
    conversation.say(OK).await;
    done.await.unwrap();
    let (second, _) = tokio::join!(exchange(&target, get()), async {
        conversation.head().await;
        conversation.say(OK).await;
    });
    assert_eq!(second.unwrap().body, "ok");
    assert_eq!((target.counts().opened, target.counts().reused), (1, 1));
    leave.send(()).unwrap();
    handle.join().unwrap();
}

#[tokio::test]
async fn a_connection_whose_runtime_is_gone_is_not_used() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (leave, left) = std::sync::mpsc::channel();
    let (handle, done) = thread(Arc::clone(&target), left);
    let mut first = peer.accept().await;
    first.head().await;
    first.say(OK).await;
    done.await.unwrap();
    leave.send(()).unwrap();
    handle.join().unwrap();
    let (second, _open) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    assert_eq!(second.unwrap().body, "ok");
    assert_eq!(target.counts().opened, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_a_runtime_of_many_threads_nothing_is_lost_or_mixed_up() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let server = tokio::spawn(async move {
        loop {
            let mut conversation = peer.accept().await;
            tokio::spawn(async move {
                // Each answer carries the number that its request asked for.
                while let Some(head) = conversation.next_head().await {
                    let number =
                        head.split_whitespace().nth(1).unwrap().trim_start_matches('/').to_owned();
                    let length = number.len();
                    conversation
                        .say(&format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{number}"
                        ))
                        .await;
                }
            });
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let target = Arc::clone(&target);
        calls.spawn(async move {
            for call in 0..100 {
                let number = (caller * 1000 + call).to_string();
                let mut request = get();
                *request.uri_mut() = format!("/{number}").parse().unwrap();
                assert_eq!(exchange(&target, request).await.unwrap().body, number);
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    let counts = target.counts();
    assert_eq!(counts.opened + counts.reused, 1600);
    assert!(counts.opened < 200, "connections are reused: {counts:?}");
    server.abort();
}
