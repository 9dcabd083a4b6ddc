//! Active checks: what passes, what doesn't, and that each has a connection of its own.

mod peer;

use std::time::Duration;

use mainstay::check;
use mainstay_config::settings::{Probe, ProbeKind};
use mainstay_core::{Break, BreakKind, Certainty};
use peer::{Peer, exchange, get, until_counts};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall is up";

fn http(contains: Option<&str>) -> Probe {
    let kind = ProbeKind::Http {
        path: "/health?full".to_owned(),
        passes: vec![(200, 299), (404, 404)],
        body_contains: contains.map(str::to_owned),
    };
    Probe { kind, timeout: Duration::from_secs(2) }
}

/// Checks a peer that answers so and then says no more, and expects this break, or none.
async fn check(probe: Probe, answer: &str, wanted: Option<Break>) {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (result, _open) = tokio::join!(check::run(&target, &probe), async {
        let mut conversation = peer.accept().await;
        if !matches!(probe.kind, ProbeKind::Connect) {
            let head = conversation.head().await;
            assert!(head.starts_with("GET /health?full HTTP/1.1\r\n"), "{head}");
            assert!(head.contains(&format!("host: {}\r\n", peer.address)), "{head}");
            assert!(head.contains("user-agent: mainstay-check\r\n"), "{head}");
        }
        conversation.say(answer).await;
        conversation
    });
    assert_eq!(result.err().map(|broken| broken.what), wanted);
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!(target.counts().idle, 0, "a check's connection isn't kept");
}

fn failed(status: u16) -> Option<Break> {
    let what = Break::new(BreakKind::ServerError, Certainty::Processed);
    Some(Break { status: Some(status), ..what })
}

#[tokio::test]
async fn a_connection_is_enough_where_no_more_is_asked_for() {
    check(Probe { kind: ProbeKind::Connect, timeout: Duration::from_secs(2) }, "", None).await;
}

#[tokio::test]
async fn a_status_that_passes_passes() {
    check(http(None), OK, None).await;
    check(http(None), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", None).await;
}

#[tokio::test]
async fn a_status_that_does_not_pass_is_told() {
    check(http(None), "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", failed(503))
        .await;
    check(http(None), "HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n", failed(301)).await;
}

#[tokio::test]
async fn a_text_is_looked_for_in_the_body() {
    check(http(Some("is up")), OK, None).await;
    check(http(Some("")), OK, None).await;
    check(http(Some("is down")), OK, failed(200)).await;
    let pieces = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n3\r\n is\r\n3\r\n up\r\n0\r\n\r\n";
    check(http(Some("ll is u")), pieces, None).await;
}

#[tokio::test]
async fn a_text_beyond_the_part_that_is_looked_at_is_not_found() {
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}up", " ".repeat(64 * 1024 - 1));
    check(http(Some("up")), &long, failed(200)).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_takes_no_longer_than_its_timeout() {
    let late = Break::new(BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
    check(http(None), "", Some(late)).await;
    let stalled = Break::new(BreakKind::BodyStalled, Certainty::Processed);
    check(http(Some("up")), "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall", Some(stalled)).await;
}

#[tokio::test]
async fn a_check_does_not_use_kept_connections() {
    let peer = Peer::listen().await;
    let target = peer.target();
    let (first, _kept) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    first.unwrap();
    let probe = http(None);
    let (result, _open) = tokio::join!(check::run(&target, &probe), async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation
    });
    assert!(result.is_ok());
    until_counts(&target, |counts| counts.in_use == 0).await;
    assert_eq!((target.counts().idle, target.counts().opened, target.counts().reused), (1, 2, 0));
}
