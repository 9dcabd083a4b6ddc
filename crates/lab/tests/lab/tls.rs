//! TLS: the lab's own authority, both protocols, and breaks beneath it.

use std::sync::Arc;
use std::time::Duration;

use mainstay_lab::{Fault, Lab, Rule, Spec, TlsTrouble};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::raw::within;

async fn lab() -> Lab {
    let mut spec = Spec::of(["a"]);
    spec.servers[0].tls = true;
    Lab::start(spec).await.unwrap()
}

async fn connect(lab: &Lab, protocol: &[u8]) -> TlsStream<TcpStream> {
    within(try_connect(lab, protocol)).await.unwrap()
}

async fn try_connect(lab: &Lab, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(lab.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(lab.servers()[0].addr()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What the client's TLS library says of this fault.
async fn failure(rule: &str) -> rustls::Error {
    let lab = lab().await;
    lab.set("a", rule.parse::<Rule>().unwrap()).await.unwrap();
    let error = within(try_connect(&lab, b"http/1.1")).await.expect_err(rule);
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).expect(rule).clone()
}

#[tokio::test]
async fn each_bad_certificate_is_bad_in_its_own_way() {
    use rustls::{AlertDescription, CertificateError as C, Error, PeerIncompatible};
    assert!(matches!(
        failure("tls-expired").await,
        Error::InvalidCertificate(C::ExpiredContext { .. })
    ));
    assert!(matches!(
        failure("tls-wrong-name").await,
        Error::InvalidCertificate(C::NotValidForNameContext { .. })
    ));
    assert!(matches!(
        failure("tls-self-signed").await,
        Error::InvalidCertificate(C::UnknownIssuer)
    ));
    assert!(matches!(
        failure("tls-old-protocol").await,
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
    ));
    assert_eq!(
        failure("tls-alert").await,
        Error::AlertReceived(AlertDescription::HandshakeFailure)
    );
}

#[tokio::test]
async fn a_stalled_handshake_says_nothing_and_a_certificate_near_its_end_is_good() {
    let mut spec = Spec::of(["a"]);
    (spec.servers[0].tls, spec.servers[0].trouble) = (true, Some(TlsTrouble::Stalled));
    let lab = Lab::start(spec).await.unwrap();
    let connecting = try_connect(&lab, b"http/1.1");
    assert!(tokio::time::timeout(Duration::from_millis(100), connecting).await.is_err());
    lab.set("a", Fault::Tls(TlsTrouble::Expiring)).await.unwrap();
    connect(&lab, b"http/1.1").await;
}

#[tokio::test]
async fn http_1_is_spoken_over_tls() {
    let lab = lab().await;
    assert!(lab.servers()[0].url().starts_with("https://127.0.0.1:"));
    let mut stream = connect(&lab, b"http/1.1").await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nok"), "{text}");
}

#[tokio::test]
async fn http_2_is_agreed_on_over_tls() {
    let lab = lab().await;
    let stream = connect(&lab, b"h2").await;
    let (mut client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://lab/healthz").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_reset_is_a_reset_beneath_tls() {
    let lab = lab().await;
    lab.set("a", Fault::ResetAfterExecute).await.unwrap();
    let mut stream = connect(&lab, b"http/1.1").await;
    stream.write_all(b"GET / HTTP/1.1\r\nx-request-id: x\r\n\r\n").await.unwrap();
    let error = within(stream.read(&mut [0; 9])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(lab.oracle().executions("x"), 1);
}
