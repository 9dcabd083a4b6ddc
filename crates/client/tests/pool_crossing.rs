//! Closes that cross a request: what is proved about it, and what isn't.
//!
//! Each test does what a crossing is: the pool has just found the connection alive, the peer closes it, and the request is
//! written before anybody has read the peer's end. On a loopback the end is there at once, and the connection's task
//! learns of it when the runtime next asks the system, so the request usually goes out first. When it doesn't, it wasn't
//! begun, which is as good; each test goes on until it has seen the crossing.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use http::{Method, Request};
use mainstay::Outgoing;
use mainstay::pool::{Broken, Target};
use mainstay_config::settings::ConnectSettings;
use mainstay_core::{Break, BreakKind, Certainty};
use peer::{Conversation, Peer, exchange, get, request};
use tokio::io::AsyncWriteExt;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const PROOF: &str = "before it acknowledged any of the request";

/// Rounds until a crossing must have been seen: one in two would do.
const ROUNDS: usize = 64;

fn post() -> Request<Outgoing> {
    request(Method::POST, "a write")
}

/// A target with one kept connection, and the peer's end of it.
async fn kept(peer: &Peer, settings: ConnectSettings) -> (Arc<Target>, Conversation) {
    let target = peer.target_with(settings);
    let (first, conversation) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    first.unwrap();
    (target, conversation)
}

/// Sends a write over a kept connection just after the peer did `close`.
async fn crossed(close: impl FnOnce(Conversation), settings: ConnectSettings) -> Broken {
    let peer = Peer::listen().await;
    let (target, conversation) = kept(&peer, settings).await;
    let mut lease = target.lease(false).await.unwrap();
    assert!(lease.is_reused());
    close(conversation);
    lease.send(post()).await.unwrap_err()
}

fn is_proved(broken: &Broken) -> bool {
    broken.evidence.as_deref().is_some_and(|evidence| evidence.contains(PROOF))
}

#[tokio::test]
async fn a_write_that_crosses_an_orderly_close_was_not_sent_and_the_proof_is_told() {
    let mut proofs = 0;
    for _ in 0..ROUNDS {
        let broken = crossed(drop, ConnectSettings::default()).await;
        assert_eq!(broken.what, Break::new(BreakKind::ClosedWhileIdle, Certainty::NotSent));
        proofs += usize::from(is_proved(&broken));
    }
    assert!(proofs > 0, "no request crossed a close in {ROUNDS} rounds");
}

#[tokio::test]
async fn a_write_that_crosses_a_reset_stays_unknown_unless_nothing_of_it_left() {
    let mut unknown = 0;
    for _ in 0..ROUNDS {
        let broken = crossed(Conversation::reset, ConnectSettings::default()).await;
        let evidence = broken.evidence.as_deref().unwrap_or_default();
        assert!(!evidence.contains("TCP_INFO"), "a reset was taken for a proof: {evidence}");
        unknown += usize::from(broken.what.certainty == Certainty::MaybeProcessed);
        if broken.what.certainty == Certainty::NotSent {
            assert!(evidence.contains("no byte") || evidence.contains("begun"), "{evidence}");
        }
    }
    // On a loopback the reset is there before the request is, so a write mostly fails at once.
    assert!(unknown < ROUNDS);
}

#[tokio::test]
async fn a_peer_that_closes_after_it_received_the_request_leaves_the_outcome_open() {
    let peer = Peer::listen().await;
    let (target, mut conversation) = kept(&peer, ConnectSettings::default()).await;
    let mut lease = target.lease(false).await.unwrap();
    let (broken, ()) = tokio::join!(lease.send(post()), async {
        conversation.head().await;
        // The write may be done by now.
        drop(conversation);
    });
    let broken = broken.unwrap_err();
    assert_eq!(broken.what, Break::new(BreakKind::ClosedWhileIdle, Certainty::MaybeProcessed));
    assert!(!is_proved(&broken), "{broken:?}");
    assert_eq!(
        broken.steps.iter().map(|step| step.name.code()).collect::<Vec<_>>(),
        ["send", "first-byte"]
    );
}

#[tokio::test]
async fn a_peer_that_ends_its_side_after_a_part_of_the_request_proves_nothing() {
    let peer = Peer::listen().await;
    let (target, mut conversation) = kept(&peer, ConnectSettings::default()).await;
    let mut lease = target.lease(false).await.unwrap();
    let (broken, ()) = tokio::join!(lease.send(post()), async {
        conversation.head().await;
        conversation.body(7).await;
        conversation.stream.shutdown().await.unwrap();
        conversation.ended().await;
    });
    let broken = broken.unwrap_err();
    assert_eq!(broken.what.certainty, Certainty::MaybeProcessed);
    let evidence = broken.evidence.unwrap();
    assert!(evidence.contains("had acknowledged"), "{evidence}");
}

#[tokio::test]
async fn where_evidence_is_switched_off_a_crossing_leaves_the_outcome_open() {
    let mut open = 0;
    for _ in 0..ROUNDS {
        let settings = ConnectSettings { close_evidence: false, ..ConnectSettings::default() };
        let broken = crossed(drop, settings).await;
        assert_eq!(broken.what.kind, BreakKind::ClosedWhileIdle);
        assert!(!is_proved(&broken), "{broken:?}");
        open += usize::from(broken.what.certainty == Certainty::MaybeProcessed);
    }
    assert!(open > 0, "no request crossed a close in {ROUNDS} rounds");
}

#[tokio::test]
async fn a_farewell_that_crosses_a_request_is_not_its_answer() {
    const FAREWELL: &str =
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for _ in 0..ROUNDS {
        let say = |conversation: Conversation| {
            let mut stream = conversation.stream.into_std().unwrap();
            std::io::Write::write_all(&mut stream, FAREWELL.as_bytes()).unwrap();
        };
        let broken = crossed(say, ConnectSettings::default()).await;
        assert_eq!(broken.what, Break::new(BreakKind::ClosedWhileIdle, Certainty::NotSent));
    }
}

#[tokio::test]
async fn a_408_to_a_request_that_was_received_is_its_answer() {
    let peer = Peer::listen().await;
    let (target, mut conversation) = kept(&peer, ConnectSettings::default()).await;
    let mut lease = target.lease(false).await.unwrap();
    let (answer, ()) = tokio::join!(lease.send(post()), async {
        conversation.head().await;
        conversation.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await;
    });
    assert_eq!(answer.unwrap().status().as_u16(), 408);
}

#[tokio::test]
async fn a_connection_whose_end_has_arrived_is_not_lent_although_its_task_has_not_seen_it() {
    let peer = Peer::listen().await;
    let (target, conversation) = kept(&peer, ConnectSettings::default()).await;
    // One that was used a moment ago isn't asked.
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    drop(conversation);
    // No turn of the runtime between the close and the look: only the socket can tell.
    let accepted = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
    };
    let (second, ()) = tokio::join!(exchange(&target, post()), accepted);
    assert_eq!(second.unwrap().body, "ok");
    assert_eq!((target.counts().reused, target.counts().closed_stale), (0, 1));
}
