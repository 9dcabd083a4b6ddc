//! HTTP/1.1 over real sockets: what breaks, how sure it is, and what becomes of the connection.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use mainstay::body::{Gate, Replay, ReplayLimits, Source, Store};
use mainstay::pool::{OnInformational, Target};
use mainstay_core::{BreakKind, Certainty};
use peer::{Conversation, Peer, assert_broken, exchange, get, read, request, send, until_counts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Makes one exchange over a fresh connection while the peer does `script`, and expects a break.
async fn check<F: Future<Output = ()>>(
    script: impl FnOnce(Conversation) -> F,
    kind: BreakKind,
    certainty: Certainty,
) {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (result, ()) =
        tokio::join!(exchange(&target, get()), async { script(peer.accept().await).await });
    assert_broken(result, kind, certainty);
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0, "a broken connection isn't kept");
}

/// As `check`, but on the connection's second exchange.
async fn check_reused<F: Future<Output = ()>>(
    script: impl FnOnce(Conversation) -> F,
    kind: BreakKind,
    certainty: Certainty,
) {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (first, mut conversation) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    assert_eq!(first.unwrap().body, "ok");
    let (second, ()) = tokio::join!(exchange(&target, get()), async {
        conversation.head().await;
        script(conversation).await;
    });
    assert_eq!(target.counts().reused, 1);
    assert_broken(second, kind, certainty);
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn an_answer_with_a_length_comes_whole_and_its_connection_is_used_again() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let calls = async {
        for _ in 0..3 {
            let whole = exchange(&target, get()).await.unwrap();
            assert_eq!((whole.status, &whole.body[..]), (StatusCode::OK, &b"ok"[..]));
        }
    };
    let answers = async {
        let mut conversation = peer.accept().await;
        for _ in 0..3 {
            let head = conversation.head().await;
            assert!(head.starts_with("GET /path?query HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("host: peer.test\r\n"), "{head}");
            conversation.say(OK).await;
        }
        conversation
    };
    let ((), _open) = tokio::join!(calls, answers);
    let counts = target.counts();
    assert_eq!((counts.opened, counts.reused, counts.idle, counts.in_use), (1, 2, 1, 0));
}

#[tokio::test]
async fn an_answer_without_a_body_gives_its_connection_back_at_once() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (response, _open) = tokio::join!(send(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        conversation
    });
    let response = response.unwrap();
    assert!(response.body().is_end_stream());
    assert_eq!(target.counts().idle, 1);
    drop(response);
    assert_eq!(target.counts().idle, 1);
}

#[tokio::test]
async fn a_body_with_a_length_tells_its_length_and_its_end() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (response, _open) = tokio::join!(send(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    let mut response = response.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(2));
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "ok");
    assert!(response.body().is_end_stream());
    assert_eq!(target.counts().idle, 1, "back before anybody asks for a frame after the last");
}

#[tokio::test]
async fn chunks_and_trailers_come_through_and_the_connection_is_kept() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (result, _open) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        conversation.say("2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n").await;
        conversation
    });
    let whole = result.unwrap();
    assert_eq!(whole.body, "abcde");
    assert_eq!(whole.trailers.unwrap()["x-sum"], "5");
    assert_eq!(target.counts().idle, 1);
}

#[tokio::test]
async fn a_peer_that_closes_after_its_answer_leaves_nothing_behind() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (result, ()) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end").await;
    });
    assert_eq!(result.unwrap().body, "until the end");
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn a_fresh_connection_closed_before_the_head_may_have_been_served() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
    };
    check(script, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_fresh_connection_reset_before_the_head_may_have_been_served() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation.reset();
    };
    check(script, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn an_end_within_the_head_is_one_before_it() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ncontent-le").await;
    };
    check(script, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation.say("220 mail.test ESMTP\r\n\r\n").await;
        conversation.ended().await;
    };
    check(script, BreakKind::MalformedResponse, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_too_large() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\n").await;
        let line = format!("x-long: {}\r\n", "x".repeat(1000));
        // The other side hangs up when it has had enough.
        while conversation.stream.write_all(line.as_bytes()).await.is_ok() {}
    };
    check(script, BreakKind::HeadTooLarge, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_head_with_too_many_fields_is_too_large() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        let fields = "x-many: 1\r\n".repeat(500);
        conversation.say(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).await;
        conversation.ended().await;
    };
    check(script, BreakKind::HeadTooLarge, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_body_that_ends_before_its_length_is_truncated() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    };
    check(script, BreakKind::BodyTruncated, Certainty::Processed).await;
}

#[tokio::test]
async fn a_chunked_body_without_its_last_chunk_is_truncated() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    };
    check(script, BreakKind::BodyTruncated, Certainty::Processed).await;
}

#[tokio::test]
async fn a_chunk_without_a_size_truncates_its_body() {
    let script = |mut conversation: Conversation| async move {
        conversation.head().await;
        conversation
            .say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n")
            .await;
        conversation.ended().await;
    };
    check(script, BreakKind::BodyTruncated, Certainty::Processed).await;
}

#[tokio::test]
async fn a_reset_within_the_body_is_one() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (response, conversation) = tokio::join!(send(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        conversation
    });
    let mut response = response.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "half");
    conversation.reset();
    let result = read(response).await.map_err(peer::Failed::Body);
    assert_broken(result, BreakKind::BodyReset, Certainty::Processed);
    until_counts(&target, |counts| counts.in_use == 0).await;
}

#[tokio::test]
async fn a_kept_connection_that_ends_on_a_request_was_closed_while_idle() {
    let script = |_: Conversation| async {};
    check_reused(script, BreakKind::ClosedWhileIdle, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_kept_connection_that_is_reset_on_a_request_was_closed_while_idle() {
    let script = |conversation: Conversation| async { conversation.reset() };
    check_reused(script, BreakKind::ClosedWhileIdle, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_kept_connection_that_ends_within_a_head_was_alive() {
    let script = |mut conversation: Conversation| async move {
        conversation.say("HTTP/1.1 2").await;
    };
    check_reused(script, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed).await;
}

/// A target with one idle connection, and the peer's end of it.
async fn kept() -> (Peer, Arc<Target>, Conversation) {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (first, conversation) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    first.unwrap();
    assert_eq!(target.counts().idle, 1);
    (peer, target, conversation)
}

#[tokio::test]
async fn a_connection_seen_to_be_closed_is_not_leased_and_a_new_one_is() {
    let (peer, target, conversation) = kept().await;
    drop(conversation);
    // Its task sees the end as soon as the runtime does.
    until_counts(&target, |counts| counts.idle == 0).await;
    let (second, ()) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
    });
    assert_eq!(second.unwrap().body, "ok");
    let counts = target.counts();
    assert_eq!((counts.opened, counts.reused, counts.closed_stale), (2, 0, 1));
}

#[tokio::test]
async fn a_request_that_finds_its_connection_closed_comes_back_unsent() {
    let (_peer, target, conversation) = kept().await;
    let mut lease = target.lease(false).await.unwrap();
    assert!(lease.is_reused());
    drop(conversation);
    // The lease holds it, so nothing but the count of sockets tells that the connection's task has ended.
    until_counts(&target, |counts| counts.in_use == 0).await;
    let result = lease.send(get()).await.map_err(peer::Failed::Head);
    assert_broken(result, BreakKind::ClosedWhileIdle, Certainty::NotSent);
    assert!(!lease.was_sent());
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_an_idle_connection() {
    let (_peer, target, mut conversation) = kept().await;
    let mut lease = target.lease(false).await.unwrap();
    conversation.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    let result = lease.send(get()).await.map_err(peer::Failed::Head);
    assert_broken(result, BreakKind::ClosedWhileIdle, Certainty::NotSent);
}

#[tokio::test]
async fn a_lease_that_was_not_used_goes_back() {
    let (_peer, target, _conversation) = kept().await;
    let lease = target.lease(false).await.unwrap();
    assert_eq!((target.counts().idle, target.counts().in_use), (0, 1));
    assert!(!lease.was_sent());
    drop(lease);
    assert_eq!((target.counts().idle, target.counts().in_use), (1, 0));
}

#[tokio::test]
async fn a_fresh_connection_is_new_whatever_is_kept() {
    let (peer, target, _conversation) = kept().await;
    let (lease, _second) = tokio::join!(target.lease(true), peer.accept());
    assert!(!lease.unwrap().is_reused());
    assert_eq!(target.counts().opened, 2);
}

#[tokio::test]
async fn a_cancelled_exchange_closes_its_connection_and_counts_as_sent() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let mut lease = target.lease(false).await.unwrap();
    let mut conversation = peer.accept().await;
    tokio::select! {
        _ = lease.send(get()) => panic!("nobody answered"),
        _ = conversation.head() => {}
    }
    assert!(lease.was_sent());
    drop(lease);
    conversation.ended().await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn a_body_that_is_dropped_unread_closes_its_connection() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (response, mut conversation) = tokio::join!(send(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart").await;
        conversation
    });
    drop(response.unwrap());
    conversation.ended().await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn a_request_with_a_body_is_sent_whole() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (result, _open) = tokio::join!(exchange(&target, request(Method::POST, "hello")), async {
        let mut conversation = peer.accept().await;
        let head = conversation.head().await;
        assert!(head.contains("content-length: 5\r\n"), "{head}");
        assert_eq!(conversation.body(5).await, b"hello");
        conversation.say(OK).await;
        conversation
    });
    assert_eq!(result.unwrap().body, "ok");
}

#[tokio::test]
async fn what_comes_before_the_answer_is_told() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let told = Arc::new(AtomicUsize::new(0));
    let mut request = request(Method::POST, "hello");
    let tell = Arc::clone(&told);
    request.extensions_mut().insert(OnInformational(Arc::new(move |status, fields| {
        let is_hint = status == StatusCode::EARLY_HINTS && fields["link"] == "</style>";
        assert!(is_hint || status == StatusCode::CONTINUE, "{status}");
        tell.fetch_add(1, Ordering::Relaxed);
    })));
    let (result, _open) = tokio::join!(exchange(&target, request), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 103 Early Hints\r\nlink: </style>\r\n\r\n").await;
        conversation.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        conversation.body(5).await;
        conversation.say(OK).await;
        conversation
    });
    assert_eq!(result.unwrap().body, "ok");
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_answer_that_switches_protocols_hands_the_connection_over() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let mut upgrade = get();
    upgrade.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    upgrade.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
    let (response, mut conversation) = tokio::join!(send(&target, upgrade), async {
        let mut conversation = peer.accept().await;
        let head = conversation.head().await;
        assert!(head.contains("upgrade: echo\r\n"), "{head}");
        conversation.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi").await;
        conversation
    });
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut heard = [0; 2];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hi", "what came right behind the head isn't lost");
    stream.write_all(b"ping").await.unwrap();
    assert_eq!(conversation.body(4).await, b"ping");
    assert_eq!(
        (target.counts().idle, target.counts().in_use),
        (0, 1),
        "it counts as long as it is open"
    );
    drop(stream);
    conversation.ended().await;
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0);
}

#[tokio::test]
async fn an_early_answer_is_delivered_while_the_request_is_still_being_sent() {
    let peer = Peer::listen().await;
    let target = peer.target();
    // A body that waits for a permission that never comes.
    let body = stuck_body();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("host", "peer.test")
        .body(body)
        .unwrap();
    let (result, _open) = tokio::join!(exchange(&target, request), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        conversation
    });
    assert_eq!(result.unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);
    // Its connection isn't free, so the next call gets another one.
    let (second, _open) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    assert_eq!(second.unwrap().body, "ok");
    assert_eq!(target.counts().opened, 2);
}

fn stuck_body() -> mainstay::Outgoing {
    let limits = ReplayLimits { kept_bytes: 1 << 20, ..ReplayLimits::default() };
    let source = Source::Full("never sent".into());
    Replay::new(source, limits, &Store::new(1 << 20)).outgoing(Some(Gate::default()))
}
