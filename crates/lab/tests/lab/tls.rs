//! TLS: the lab's own authority, both protocols, and breaks beneath it.

use std::sync::Arc;

use mainstay_lab::{Fault, Lab, Spec};
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
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
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
