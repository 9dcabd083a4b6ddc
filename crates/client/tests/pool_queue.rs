//! Waiting for a connection where all are in use.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;
use std::time::Duration;

use mainstay::pool::{Lease, Target};
use mainstay_config::settings::{ConnectSettings, PoolSettings};
use mainstay_core::{BreakKind, Certainty};
use mainstay_record::StepName;
use peer::{Conversation, Peer, exchange, get, until_counts};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A target with room for one connection, that connection in use, and the peer's end of it.
async fn full(pool: PoolSettings) -> (Peer, Arc<Target>, Lease, Conversation) {
    let peer = Peer::listen().await;
    let pool = PoolSettings { max_connections: 1, ..pool };
    let target = peer.target_with(ConnectSettings { pool, ..ConnectSettings::default() });
    let (lease, conversation) = tokio::join!(target.lease(false), peer.accept());
    (peer, target, lease.unwrap(), conversation)
}

#[tokio::test]
async fn a_call_waits_for_the_connection_that_another_gives_back() {
    let (_peer, target, lease, mut conversation) = full(PoolSettings::default()).await;
    let answered = async {
        conversation.head().await;
        conversation.say(OK).await;
    };
    let given_back = async {
        tokio::task::yield_now().await;
        drop(lease);
    };
    let (answer, (), ()) = tokio::join!(exchange(&target, get()), given_back, answered);
    assert_eq!(answer.unwrap().body, "ok");
    assert_eq!(target.counts().opened, 1);
}

#[tokio::test]
async fn a_call_waits_for_the_place_of_a_connection_that_ends() {
    let (peer, target, mut lease, mut conversation) = full(PoolSettings::default()).await;
    let ended = async {
        let (broken, ()) = tokio::join!(lease.send(get()), async {
            conversation.head().await;
            drop(conversation);
        });
        assert!(broken.is_err());
        drop(lease);
        let mut next = peer.accept().await;
        next.head().await;
        next.say(OK).await;
    };
    let (answer, ()) = tokio::join!(exchange(&target, get()), ended);
    assert_eq!(answer.unwrap().body, "ok");
    assert_eq!(target.counts().opened, 2);
}

#[tokio::test]
async fn where_nobody_may_wait_a_call_is_refused_at_once() {
    let pool = PoolSettings { queue: 0, ..PoolSettings::default() };
    let (_peer, target, _lease, _conversation) = full(pool).await;
    let broken = target.lease(false).await.unwrap_err();
    assert_eq!(
        (broken.what.kind, broken.what.certainty),
        (BreakKind::LimitReached, Certainty::NotSent)
    );
    assert!(broken.details.unwrap().contains("queue for them is full"));
}

#[tokio::test]
async fn no_call_waits_for_longer_than_it_may_and_the_record_says_where_it_did() {
    let pool = PoolSettings { queue_timeout: Duration::from_millis(5), ..PoolSettings::default() };
    let (_peer, target, _lease, _conversation) = full(pool).await;
    let broken = target.lease(false).await.unwrap_err();
    assert_eq!(broken.what.kind, BreakKind::LimitReached);
    let [step] = broken.steps.as_slice() else { panic!("{:?}", broken.steps) };
    assert_eq!(step.name, StepName::Queue);
    assert!(step.took >= Duration::from_millis(5));
}

#[tokio::test]
async fn one_that_gives_up_its_turn_swallows_nobodys() {
    let (_peer, target, lease, _conversation) = full(PoolSettings::default()).await;
    for polls in 0..6 {
        let mut gone = Box::pin(target.lease(false));
        let mut next = Box::pin(target.lease(false));
        for _ in 0..polls {
            assert!(is_pending(&mut gone).await);
            assert!(is_pending(&mut next).await);
        }
        drop(gone);
        assert!(is_pending(&mut next).await);
    }
    // Both were woken, or about to be, when the first went away.
    let mut gone = Box::pin(target.lease(false));
    let mut next = Box::pin(target.lease(false));
    assert!(is_pending(&mut gone).await && is_pending(&mut next).await);
    drop(lease);
    drop(gone);
    let lease = tokio::time::timeout(Duration::from_secs(30), next).await.unwrap().unwrap();
    assert!(lease.is_reused());
    until_counts(&target, |counts| counts.in_use == 1).await;
}

/// Polls it once; whether it goes on.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
    })
    .await
}

#[tokio::test]
async fn a_connection_that_has_carried_enough_is_not_used_again() {
    let peer = Peer::listen().await;
    let pool = PoolSettings { max_requests: Some(2), ..PoolSettings::default() };
    let target = peer.target_with(ConnectSettings { pool, ..ConnectSettings::default() });
    let answers = async {
        let mut first = peer.accept().await;
        for _ in 0..2 {
            first.head().await;
            first.say(OK).await;
        }
        first.ended().await;
        let mut second = peer.accept().await;
        second.head().await;
        second.say(OK).await;
    };
    let calls = async {
        for _ in 0..3 {
            assert_eq!(exchange(&target, get()).await.unwrap().body, "ok");
        }
    };
    tokio::join!(calls, answers);
    assert_eq!((target.counts().opened, target.counts().reused), (2, 1));
}
