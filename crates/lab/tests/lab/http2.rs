//! HTTP/2: streams that break, and connections that break with all their streams.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use mainstay_lab::{FNV_OFFSET, Fault, fnv1a};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::raw::{End, Raw, lab, pattern, within};

type Driver = JoinHandle<Result<(), h2::Error>>;

async fn connect(addr: SocketAddr) -> (SendRequest<Bytes>, Driver) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn ask(
    client: &mut SendRequest<Bytes>,
    method: &str,
    path: &str,
    body: &'static str,
) -> Result<Response<RecvStream>, h2::Error> {
    let uri = format!("http://lab{path}");
    send(client, Request::builder().method(method).uri(uri), body).await
}

async fn send(
    client: &mut SendRequest<Bytes>,
    request: http::request::Builder,
    body: &'static str,
) -> Result<Response<RecvStream>, h2::Error> {
    let request = request.header("x-request-id", "x").body(()).unwrap();
    let mut ready = client.clone().ready().await?;
    let (response, mut stream) = ready.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body.as_bytes()), true)?;
    }
    within(response).await
}

/// All bytes of a body, and the error that ended it, if one did.
async fn read(response: &mut Response<RecvStream>) -> (Vec<u8>, Option<h2::Error>) {
    let body = response.body_mut();
    let mut bytes = Vec::new();
    while let Some(piece) = within(body.data()).await {
        match piece {
            Ok(piece) => {
                body.flow_control().release_capacity(piece.len()).unwrap();
                bytes.extend_from_slice(&piece);
            }
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn streams_are_served_on_the_same_port() {
    let (lab, addr) = lab("healthy").await;
    let (mut client, _driver) = connect(addr).await;
    let mut response = ask(&mut client, "POST", "/trailers", "hello").await.unwrap();
    assert_eq!(response.status(), 201);
    let (bytes, error) = read(&mut response).await;
    assert!(error.is_none());
    let checksum = format!("{:016x}", fnv1a(FNV_OFFSET, b"hello"));
    assert!(String::from_utf8(bytes).unwrap().contains(&checksum));
    let trailers = within(response.body_mut().trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["x-checksum"], checksum);

    // Larger than the client's window.
    let mut response = ask(&mut client, "GET", "/bytes/300000", "").await.unwrap();
    assert!(read(&mut response).await.0 == pattern(300_000));
    assert_eq!(lab.oracle().executions("x"), 2);
    let totals = lab.oracle().totals("a");
    assert_eq!((totals.connections, totals.answered_whole), (1, 2));
}

#[tokio::test]
async fn a_server_without_http_2_refuses_the_preface() {
    let mut spec = mainstay_lab::Spec::of(["a"]);
    spec.servers[0].h2 = false;
    let lab = mainstay_lab::Lab::start(spec).await.unwrap();
    let mut raw = Raw::to(lab.servers()[0].addr()).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(raw.head().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_refused_stream_was_not_executed_and_the_connection_lives() {
    let (lab, addr) = lab("h2-refuse-stream").await;
    let (mut client, _driver) = connect(addr).await;
    let error = ask(&mut client, "POST", "/", "hello").await.unwrap_err();
    assert_eq!((error.reason(), error.is_remote()), (Some(Reason::REFUSED_STREAM), true));
    assert_eq!(lab.oracle().executions("x"), 0);
    lab.set("a", Fault::Healthy).await.unwrap();
    assert_eq!(ask(&mut client, "POST", "/", "hello").await.unwrap().status(), 201);
    assert_eq!(lab.oracle().totals("a").connections, 1);
}

#[tokio::test]
async fn a_goaway_names_a_stream_below_the_request() {
    let (lab, addr) = lab("h2-goaway methods=POST").await;
    let mut raw = Raw::to(addr).await;
    // The preface, empty settings, and HEADERS of stream 5: POST / (HPACK static 0x83 0x84 0x86, :authority "l").
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    raw.send([0, 0, 6, 1, 5, 0, 0, 0, 5, 0x83, 0x84, 0x86, 0x41, 0x01, b'l']).await;
    let (bytes, end) = raw.rest().await;
    assert_eq!(end, End::Fin);
    assert_eq!(bytes[bytes.len() - 17..], [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!((lab.oracle().totals("a").received, lab.oracle().totals("a").executed), (1, 0));
}

#[tokio::test]
async fn a_goaway_lets_earlier_streams_end() {
    let (lab, addr) = lab("slow fixed=50").await;
    let (mut client, _driver) = connect(addr).await;
    let mut early = client.clone();
    let early = tokio::spawn(async move { ask(&mut early, "GET", "/bytes/10", "").await });
    within(lab.oracle().wait_until(|books| books.servers["a"].executed == 1)).await;
    lab.set("a", Fault::H2GoAway).await.unwrap();
    let error = ask(&mut client, "POST", "/", "hello").await.unwrap_err();
    assert!(error.is_go_away() && error.reason() == Some(Reason::NO_ERROR), "{error:?}");
    let mut response = within(early).await.unwrap().unwrap();
    assert_eq!(read(&mut response).await.0, pattern(10));
    assert_eq!(lab.oracle().totals("a").executed, 1);
}

#[tokio::test]
async fn a_break_before_the_head_breaks_the_connection() {
    for (rule, executed) in
        [("reset-before", 0), ("reset-after-execute", 1), ("close-before", 0), ("garbage", 0)]
    {
        let (lab, addr) = lab(rule).await;
        let (mut client, driver) = connect(addr).await;
        let error = ask(&mut client, "POST", "/", "hello").await.unwrap_err();
        assert!(!error.is_remote() || error.is_go_away(), "{rule}: {error:?}");
        let end = within(driver).await.unwrap();
        if rule.starts_with("reset") {
            let kind = end.unwrap_err().get_io().map(std::io::Error::kind);
            assert_eq!(kind, Some(std::io::ErrorKind::ConnectionReset), "{rule}");
        }
        assert_eq!(lab.oracle().executions("x"), executed, "{rule}");
    }
}

#[tokio::test]
async fn a_break_after_the_head_breaks_the_stream_at_its_byte() {
    for (rule, sent, reason) in [
        ("reset-after-head", 0, Some(Reason::INTERNAL_ERROR)),
        ("reset-in-body at=10", 10, Some(Reason::INTERNAL_ERROR)),
        ("truncate-chunked at=10", 10, Some(Reason::CANCEL)),
        ("reset-in-body at=first", 1, Some(Reason::INTERNAL_ERROR)),
        ("reset-in-body at=last", 999, Some(Reason::INTERNAL_ERROR)),
        ("truncate at=in-chunk-header", 500, Some(Reason::CANCEL)),
    ] {
        let (lab, addr) = lab(rule).await;
        let (mut client, _driver) = connect(addr).await;
        let mut response = ask(&mut client, "GET", "/bytes/1000", "").await.unwrap();
        let (bytes, error) = read(&mut response).await;
        assert_eq!(
            (bytes, error.and_then(|error| error.reason())),
            (pattern(sent), reason),
            "{rule}"
        );
        within(lab.oracle().wait_until(|books| books.servers["a"].answered_partly == 1)).await;
        assert_eq!(lab.oracle().totals("a").body_bytes, sent, "{rule}");
        assert_eq!(lab.oracle().executions("x"), 1, "{rule}");
    }
}

#[tokio::test]
async fn a_stream_shorter_than_what_was_drawn_is_whole() {
    let (lab, addr) = lab("reset-in-body every=1GB").await;
    let (mut client, _driver) = connect(addr).await;
    for path in ["/bytes/1000", "/events?count=2&every=1"] {
        let mut response = ask(&mut client, "GET", path, "").await.unwrap();
        let (bytes, error) = read(&mut response).await;
        assert!(!bytes.is_empty() && error.is_none(), "{path}: {error:?}");
    }
    within(lab.oracle().wait_until(|books| books.servers["a"].answered_whole == 2)).await;
}

#[tokio::test]
async fn a_range_is_answered_wrongly_too() {
    let (_lab, addr) = lab("range-wrong-start").await;
    let (mut client, _driver) = connect(addr).await;
    let request = Request::get("http://lab/bytes/100").header("range", "bytes=10-19");
    let mut response = send(&mut client, request, "").await.unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(response.headers()["content-range"], "bytes 11-19/100");
    assert_eq!(read(&mut response).await.0, pattern(20)[11..]);
}

#[tokio::test]
async fn a_language_model_reads_its_body() {
    let (_lab, addr) = lab("healthy").await;
    let (mut client, _driver) = connect(addr).await;
    let ask_for = r#"{"stream":true,"max_tokens":2}"#;
    let mut response =
        ask(&mut client, "POST", "/v1/chat/completions?every=0", ask_for).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let (bytes, error) = read(&mut response).await;
    assert!(error.is_none() && bytes.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_truncated_stream_ends_before_its_length() {
    let (lab, addr) = lab("truncate at=10").await;
    let (mut client, _driver) = connect(addr).await;
    let mut response = ask(&mut client, "GET", "/bytes/1000", "").await.unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    // The client's library notices, as RFC 9113, 8.1.1 asks.
    let (bytes, error) = read(&mut response).await;
    assert_eq!(bytes, pattern(10));
    assert_eq!(error.and_then(|error| error.reason()), Some(Reason::PROTOCOL_ERROR));
    assert_eq!(lab.oracle().totals("a").answered_whole, 0);
}

#[tokio::test]
async fn a_silent_stream_lets_the_others_speak() {
    let (lab, addr) = lab("hang path=/silent").await;
    let (mut client, _driver) = connect(addr).await;
    let mut silent = client.clone();
    let silent = tokio::spawn(async move { ask(&mut silent, "GET", "/silent", "").await.is_ok() });
    within(lab.oracle().wait_until(|books| books.servers["a"].received == 1)).await;
    assert_eq!(ask(&mut client, "GET", "/", "").await.unwrap().status(), 200);
    assert!(!silent.is_finished());
    within(lab.shutdown()).await;
    assert!(!within(silent).await.unwrap());
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_a_goaway() {
    let (_lab, addr) = lab("close-idle after=20").await;
    let (mut client, driver) = connect(addr).await;
    assert_eq!(ask(&mut client, "GET", "/", "").await.unwrap().status(), 200);
    assert!(within(driver).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_connection_used_again_is_closed_under_the_stream() {
    for (with, kind) in [("fin", None), ("rst", Some(std::io::ErrorKind::ConnectionReset))] {
        let (lab, addr) = lab(&format!("close-on-reuse with={with}")).await;
        let (mut client, driver) = connect(addr).await;
        let mut response = ask(&mut client, "GET", "/", "").await.unwrap();
        read(&mut response).await;
        assert!(ask(&mut client, "POST", "/", "hello").await.is_err());
        let end = within(driver).await.unwrap();
        if let Some(kind) = kind {
            assert_eq!(end.unwrap_err().get_io().map(std::io::Error::kind), Some(kind), "{with}");
        }
        assert_eq!(lab.oracle().totals("a").executed, 1, "{with}");
    }
}
