//! Active checks: what passes, what doesn't, and that each has a connection of its own.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use mainstay::check;
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, Http2, Probe, ProbeKind, Scheme};
use mainstay_core::{Break, BreakKind, Certainty};
use peer::tls::{Authority, Flaws, acceptor};
use peer::{Peer, endpoint, exchange, get, until_counts};
use tokio::io::AsyncReadExt as _;

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

/// Checks a gRPC server that answers with this message and, in trailers, this status.
async fn check_grpc(message: &'static [u8], status: &'static str) -> Option<BreakKind> {
    let peer = Peer::listen().await;
    let settings = ConnectSettings { http2: Http2::Always, ..ConnectSettings::default() };
    let target = peer.target_with(settings);
    let kind = ProbeKind::Grpc { service: "orders".to_owned() };
    let probe = Probe { kind, timeout: Duration::from_secs(2) };
    let serving = async {
        let mut connection = h2::server::handshake(peer.accept().await.stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.method(), "POST");
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["te"], "trailers");
            let head = Response::builder().header("content-type", "application/grpc");
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(message), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            stream.send_trailers(trailers).unwrap();
        }
    };
    let (result, ()) = tokio::join!(check::run(&target, &probe), serving);
    result.err().map(|broken| broken.what.kind)
}

#[tokio::test]
async fn a_grpc_service_that_serves_passes_and_no_other() {
    assert_eq!(check_grpc(&[0, 0, 0, 0, 2, 8, 1], "0").await, None);
    assert_eq!(check_grpc(&[0, 0, 0, 0, 2, 8, 2], "0").await, Some(BreakKind::ServerError));
    assert_eq!(check_grpc(&[], "12").await, Some(BreakKind::ServerError));
    assert_eq!(check_grpc(b"nonsense", "0").await, Some(BreakKind::MalformedResponse));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_by_a_check_of_tls() {
    let authority = Authority::new("check");
    let files = authority.issue("other.test", Flaws::default());
    let peer = Peer::listen().await;
    let settings = ConnectSettings { tls: authority.trusted(), ..ConnectSettings::default() };
    let target =
        Target::new(&endpoint(Scheme::Https, "localhost", peer.address.port()), &settings).unwrap();
    let probe = Probe { kind: ProbeKind::Tls, timeout: Duration::from_secs(2) };
    let (result, _) = tokio::join!(check::run(&target, &probe), async {
        acceptor(&files, &["http/1.1"], None).accept(peer.accept().await.stream).await.map(drop)
    });
    let kind = result.err().map(|broken| broken.what.kind);
    assert_eq!(kind, Some(BreakKind::CertificateWrongName));
}

#[tokio::test]
async fn a_grpc_check_of_a_peer_that_agrees_on_http_1_1_alone_is_told_so_before_anything_is_sent() {
    let authority = Authority::new("check-grpc");
    let files = authority.issue("localhost", Flaws::default());
    let peer = Peer::listen().await;
    let settings = ConnectSettings { tls: authority.trusted(), ..ConnectSettings::default() };
    let target =
        Target::new(&endpoint(Scheme::Https, "localhost", peer.address.port()), &settings).unwrap();
    let kind = ProbeKind::Grpc { service: String::new() };
    let probe = Probe { kind, timeout: Duration::from_secs(2) };
    let (result, received) = tokio::join!(check::run(&target, &probe), async {
        let stream = peer.accept().await.stream;
        let mut stream = acceptor(&files, &["http/1.1"], None).accept(stream).await.unwrap();
        let mut received = Vec::new();
        // It is closed at once, with or without TLS's own farewell.
        drop(stream.read_to_end(&mut received).await);
        received
    });
    let broken = result.unwrap_err();
    assert_eq!(broken.what, Break::new(BreakKind::TlsProtocol, Certainty::NotSent));
    assert!(broken.details.unwrap().contains("needs HTTP/2"));
    assert_eq!(received, b"");
}
