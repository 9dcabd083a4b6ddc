//! TLS for real: whom we trust, and how each kind of distrust is told.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use http::StatusCode;
use mainstay::pool::{Target, TargetError};
use mainstay_config::settings::{CertificateFiles, ConnectSettings, Http2, Scheme, TlsSettings};
use mainstay_core::{Break, BreakKind, Certainty};
use peer::tls::{Authority, Flaws, acceptor};
use peer::{Peer, endpoint, exchange, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

fn target(host: &str, port: u16, tls: TlsSettings) -> Result<Arc<Target>, TargetError> {
    let settings = ConnectSettings { tls, ..ConnectSettings::default() };
    Target::new(&endpoint(Scheme::Https, host, port), &settings)
}

/// Leases from a server with this acceptor, and expects a break.
async fn check(acceptor: TlsAcceptor, tls: TlsSettings, kind: BreakKind) {
    let peer = Peer::listen().await;
    let target = target("localhost", peer.address.port(), tls).unwrap();
    let (leased, _) = tokio::join!(target.lease(false), async {
        let conversation = peer.accept().await;
        // The server's own opinion of the handshake is not what is tested.
        acceptor.accept(conversation.stream).await.map(drop)
    });
    let broken = leased.unwrap_err();
    assert_eq!(broken.what, Break::new(kind, Certainty::NotSent), "{broken:?}");
}

/// Makes one exchange with a server with this acceptor, which answers 204, and expects it to succeed.
async fn check_good(acceptor: TlsAcceptor, host: &str, tls: TlsSettings) {
    let peer = Peer::listen().await;
    let target = target(host, peer.address.port(), tls).unwrap();
    let (result, _open) = tokio::join!(exchange(&target, get()), async {
        let mut stream = acceptor.accept(peer.accept().await.stream).await.unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream
    });
    assert_eq!(result.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(target.counts().idle, 1);
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_for_the_right_name_is_good() {
    let authority = Authority::new("good");
    let files = authority.issue("localhost", Flaws::default());
    check_good(acceptor(&files, &["http/1.1"], None), "localhost", authority.trusted()).await;
}

#[tokio::test]
async fn a_server_without_alpn_speaks_http_1() {
    let authority = Authority::new("no-alpn");
    let files = authority.issue("localhost", Flaws::default());
    check_good(acceptor(&files, &[], None), "localhost", authority.trusted()).await;
}

#[tokio::test]
async fn a_certificate_for_an_address_is_good_for_that_address() {
    let authority = Authority::new("address");
    let files = authority.issue("127.0.0.1", Flaws::default());
    check_good(acceptor(&files, &[], None), "127.0.0.1", authority.trusted()).await;
}

#[tokio::test]
async fn another_name_can_be_asked_for() {
    let authority = Authority::new("server-name");
    let files = authority.issue("api.test", Flaws::default());
    let tls = TlsSettings { server_name: Some("api.test".to_owned()), ..authority.trusted() };
    check_good(acceptor(&files, &[], None), "localhost", tls).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told() {
    let authority = Authority::new("wrong-name");
    let files = authority.issue("api.test", Flaws::default());
    check(acceptor(&files, &[], None), authority.trusted(), BreakKind::CertificateWrongName).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_told() {
    let (authority, other) = (Authority::new("unknown"), Authority::new("known"));
    let files = authority.issue("localhost", Flaws::default());
    check(acceptor(&files, &[], None), other.trusted(), BreakKind::CertificateUnknownIssuer).await;
    check(acceptor(&files, &[], None), TlsSettings::default(), BreakKind::CertificateUnknownIssuer)
        .await;
}

#[tokio::test]
async fn an_expired_certificate_is_told() {
    let authority = Authority::new("expired");
    let files = authority.issue("localhost", Flaws { expired: true, ..Flaws::default() });
    check(acceptor(&files, &[], None), authority.trusted(), BreakKind::CertificateExpired).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_for_servers_is_invalid() {
    let authority = Authority::new("for-clients");
    let files = authority.issue("localhost", Flaws { for_clients: true, ..Flaws::default() });
    check(acceptor(&files, &[], None), authority.trusted(), BreakKind::CertificateInvalid).await;
}

#[tokio::test]
async fn any_certificate_is_accepted_where_that_is_asked_for() {
    let authority = Authority::new("any");
    let files = authority.issue("api.test", Flaws { expired: true, ..Flaws::default() });
    let tls = TlsSettings { danger_accept_any_certificate: true, ..TlsSettings::default() };
    check_good(acceptor(&files, &[], None), "localhost", tls).await;
}

#[tokio::test]
async fn our_certificate_is_presented() {
    let (authority, clients) = (Authority::new("server"), Authority::new("clients"));
    let files = authority.issue("localhost", Flaws::default());
    let ours = clients.issue("caller", Flaws { for_clients: true, ..Flaws::default() });
    let tls = TlsSettings { client: Some(ours), ..authority.trusted() };
    check_good(acceptor(&files, &[], Some(&clients)), "localhost", tls).await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_us_says_so_by_an_alert() {
    let (authority, clients) = (Authority::new("wants"), Authority::new("wanted"));
    let files = authority.issue("localhost", Flaws::default());
    let acceptor = acceptor(&files, &[], Some(&clients));
    let peer = Peer::listen().await;
    let target = target("localhost", peer.address.port(), authority.trusted()).unwrap();
    // In TLS 1.3 our side of the handshake is over before the server looks at our certificate.
    let (result, _) = tokio::join!(exchange(&target, get()), async {
        acceptor.accept(peer.accept().await.stream).await.map(drop)
    });
    peer::assert_broken(result, BreakKind::TlsAlert, Certainty::MaybeProcessed);
}

#[tokio::test]
async fn a_server_that_speaks_no_common_protocol_sends_an_alert() {
    let authority = Authority::new("alpn");
    let files = authority.issue("localhost", Flaws::default());
    check(acceptor(&files, &["spdy/3"], None), authority.trusted(), BreakKind::TlsAlert).await;
}

/// As `check`, with a server that does this to a new connection instead of a handshake.
async fn check_raw(answer: &'static str, hang_up: bool, kind: BreakKind) {
    let peer = Peer::listen().await;
    let target = target("localhost", peer.address.port(), TlsSettings::default()).unwrap();
    let (leased, _open) = tokio::join!(target.lease(false), async {
        let mut conversation = peer.accept().await;
        conversation.body(100).await;
        conversation.say(answer).await;
        (!hang_up).then_some(conversation)
    });
    let broken = leased.unwrap_err();
    assert_eq!(broken.what, Break::new(kind, Certainty::NotSent), "{broken:?}");
}

#[tokio::test]
async fn a_server_that_answers_in_the_clear_does_not_speak_tls() {
    check_raw("HTTP/1.1 400 Bad Request\r\n\r\n", false, BreakKind::TlsProtocol).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_within_the_handshake_does_not_speak_tls() {
    check_raw("", true, BreakKind::TlsProtocol).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_silent_within_the_handshake_times_out() {
    check_raw("", false, BreakKind::TlsTimeout).await;
}

#[tokio::test]
async fn http_2_alone_is_refused_where_the_server_agrees_on_nothing() {
    let authority = Authority::new("only-h2");
    let files = authority.issue("localhost", Flaws::default());
    let acceptor = acceptor(&files, &[], None);
    let peer = Peer::listen().await;
    let settings = ConnectSettings {
        tls: authority.trusted(),
        http2: Http2::Always,
        ..ConnectSettings::default()
    };
    let endpoint = endpoint(Scheme::Https, "localhost", peer.address.port());
    let target = Target::new(&endpoint, &settings).unwrap();
    let (leased, _) = tokio::join!(target.lease(false), async {
        acceptor.accept(peer.accept().await.stream).await.map(drop)
    });
    assert_eq!(leased.unwrap_err().what, Break::new(BreakKind::TlsProtocol, Certainty::NotSent));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new("files");
    let good = authority.issue("localhost", Flaws::default());
    let other = authority.issue("other", Flaws::default());
    let text = authority.ca().with_file_name("text");
    std::fs::write(&text, "no PEM at all").unwrap();
    let try_with = |tls| target("localhost", 1, tls).err();
    let ca = |path| try_with(TlsSettings { ca: Some(path), ..TlsSettings::default() });
    let client = |certificate, key| {
        try_with(TlsSettings {
            client: Some(CertificateFiles { certificate, key }),
            ..TlsSettings::default()
        })
    };
    assert!(ca(authority.ca()).is_none());
    assert!(matches!(ca(text.with_file_name("missing")), Some(TargetError::Unreadable { .. })));
    assert!(matches!(ca(text.clone()), Some(TargetError::NoCertificate { path }) if path == text));
    assert!(client(good.certificate.clone(), good.key.clone()).is_none());
    assert!(matches!(client(good.certificate.clone(), text), Some(TargetError::NotPem { .. })));
    assert!(matches!(client(good.certificate, other.key), Some(TargetError::Certificate { .. })));
    let name = TlsSettings { server_name: Some("no name".to_owned()), ..TlsSettings::default() };
    assert!(matches!(try_with(name), Some(TargetError::ServerName { .. })));
}
