//! HTTP/2 from applications: by prior knowledge in the clear, by agreement over TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_config::settings::{CertificateFiles, Forwarded};
use mainstay_proxy::Proxy;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::*;

type Sender = SendRequest<Full<Bytes>>;

async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Sender {
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn in_the_clear(proxy: &Proxy) -> Sender {
    over(TcpStream::connect(proxy.addresses()[0]).await.unwrap()).await
}

fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://app.test{path}"));
    request.header("cookie", "a=1").header("cookie", "b=2").body(Full::from(body)).unwrap()
}

/// A proxy with a certificate, and a client that trusts it and offers this protocol.
async fn secured(origin: &Origin, protocol: &[u8]) -> (Proxy, TlsStream<TcpStream>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir();
    let name = format!(
        "mainstay-proxy-{}-{}",
        std::process::id(),
        String::from_utf8_lossy(protocol).replace('/', "-")
    );
    let (certificate, key) =
        (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut settings = settings(&[origin.address]);
    settings.listeners[0].tls =
        Some(CertificateFiles { certificate: certificate.clone(), key: key.clone() });
    settings.routes[0].forwarded = Forwarded::Legacy;
    let proxy = start(settings);
    std::fs::remove_file(certificate).unwrap();
    std::fs::remove_file(key).unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let tls = TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .unwrap();
    (proxy, tls)
}

#[tokio::test]
async fn streams_share_a_connection_in_the_clear() {
    let origin = Origin::good();
    let mut settings = settings(&[origin.address]);
    settings.routes[0].forwarded = Forwarded::Legacy;
    let proxy = start(settings);
    let mut sender = in_the_clear(&proxy).await;
    let calls: Vec<_> =
        (0..20).map(|n| sender.send_request(post(&format!("/{n}"), "abc"))).collect();
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    }
    assert_eq!(proxy.connections(), 1);
    let heard = origin.hear().to_ascii_lowercase();
    assert!(
        heard.contains("\r\nvia: 2 mainstay\r\n") && heard.contains("\r\ncookie: a=1; b=2\r\n"),
        "{heard}"
    );
    assert!(
        heard.contains("\r\nx-forwarded-host: app.test\r\n") && heard.ends_with("\r\n\r\nabc"),
        "{heard}"
    );
}

#[tokio::test]
async fn the_preface_may_come_byte_by_byte() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut tcp = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        tcp.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // Settings, empty; the answer begins with settings too: type 4.
    tcp.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "{head:?}");
}

#[tokio::test]
async fn a_broken_body_resets_its_stream_and_no_other() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", true);
    let proxy = proxy(&origin);
    let mut sender = in_the_clear(&proxy).await;
    for _ in 0..2 {
        let answer = sender.send_request(post("/", "")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.into_body().collect().await.is_err());
    }
}

#[tokio::test]
async fn tls_agrees_on_http2() {
    let origin = Origin::good();
    let (_proxy, tls) = secured(&origin, b"h2").await;
    let mut sender = over(tls).await;
    let answer = sender.send_request(post("/", "abc")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(origin.hear().contains("x-forwarded-proto: https\r\n"));
}

#[tokio::test]
async fn tls_agrees_on_http1() {
    let origin = Origin::good();
    let (_proxy, mut tls) = secured(&origin, b"http/1.1").await;
    tls.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut got = String::new();
    tls.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nok"), "{got}");
}

#[tokio::test]
async fn a_drain_says_goodbye() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut sender = in_the_clear(&proxy).await;
    assert_eq!(sender.send_request(post("/", "")).await.unwrap().status(), 200);
    assert_eq!(proxy.drain(PATIENCE).await, 0);
    assert!(sender.ready().await.is_err());
}
