//! The healthy server.

use mainstay_lab::{FNV_OFFSET, fnv1a};

use crate::raw::{End, Raw, field, lab, pattern, request};

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let (lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    for number in 1..=3 {
        raw.ask("GET", "/x").await;
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&json["server"], &json["path"], &json["id"]),
            (&"a".into(), &"/x".into(), &"x".into())
        );
        assert_eq!(json["number"], number);
    }
    let totals = lab.oracle().totals("a");
    assert_eq!(
        (totals.connections, totals.received, totals.executed, totals.answered_whole),
        (1, 3, 3, 3)
    );
    assert!(lab.oracle().duplicates().is_empty());
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send(
        request("GET", "/1", "x", "")
            + &request("POST", "/2", "y", "abc")
            + &request("GET", "/3", "z", ""),
    )
    .await;
    for path in ["/1", "/2", "/3"] {
        assert!(raw.answer().await.1.contains(&format!("\"path\":\"{path}\"")));
    }
}

#[tokio::test]
async fn a_body_is_answered_with_its_length_and_checksum() {
    let (lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("POST", "/orders").await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["bytes"], 5);
    assert_eq!(json["fnv1a"], format!("{:016x}", fnv1a(FNV_OFFSET, b"hello")));
    assert_eq!(lab.oracle().executions("x"), 1);
}

#[tokio::test]
async fn chunks_and_trailers_are_read_and_sent_back() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send("POST /trailers HTTP/1.1\r\nhost: lab\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n").await;
    raw.send("3;name=value\r\nhel\r\n2\r\nlo\r\n0\r\nx-mine: kept\r\n\r\n").await;
    let (bytes, end) = raw.rest().await;
    let text = String::from_utf8(bytes).unwrap();
    let checksum = format!("x-checksum: {:016x}\r\n", fnv1a(FNV_OFFSET, b"hello"));
    let trailers = text.split("\r\n0\r\n").nth(1).unwrap();
    assert!(trailers.contains("x-mine: kept\r\n") && trailers.contains(&checksum), "{text}");
    assert!(trailers.ends_with("\r\n\r\n"), "{text}");
    assert_eq!(end, End::Fin);
}

#[tokio::test]
async fn bytes_come_whole_in_part_and_chunked() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/bytes/100000").await;
    let head = raw.head().await;
    assert_eq!(field(&head, "etag"), Some("\"bytes-100000\""));
    assert_eq!(raw.bytes(100_000).await, pattern(100_000));

    raw.send("GET /bytes/100 HTTP/1.1\r\nrange: bytes=90-\r\nif-range: \"bytes-100\"\r\n\r\n")
        .await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(field(&head, "content-range"), Some("bytes 90-99/100"));
    assert_eq!(raw.bytes(10).await, pattern(100)[90..]);

    raw.send("GET /bytes/100 HTTP/1.1\r\nrange: bytes=90-\r\nif-range: \"other\"\r\n\r\n").await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(raw.bytes(100).await, pattern(100));

    raw.send("GET /bytes/3?chunked HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(
        (field(&head, "transfer-encoding"), field(&head, "content-length")),
        (Some("chunked"), None)
    );
    let expected = [b"3\r\n", &pattern(3)[..], b"\r\n0\r\n\r\n"].concat();
    assert_eq!(raw.rest().await, (expected, End::Fin));
}

#[tokio::test]
async fn a_head_request_gets_the_head_alone() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("HEAD", "/bytes/77").await;
    assert_eq!(field(&raw.head().await, "content-length"), Some("77"));
    // If a body had been sent, the next answer would begin with it.
    raw.ask("GET", "/healthz").await;
    assert_eq!(raw.answer().await.1, "ok");
}

#[tokio::test]
async fn a_body_may_wait_for_permission() {
    let (lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send(
        "POST / HTTP/1.1\r\nx-request-id: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n",
    )
    .await;
    assert_eq!(raw.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(lab.oracle().executions("x"), 0, "not before its body has come");
    raw.send("hi").await;
    assert!(raw.head().await.starts_with("HTTP/1.1 201 "));
    assert_eq!(lab.oracle().executions("x"), 1);
}

#[tokio::test]
async fn events_go_on_after_the_last_one_seen() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send(
        "GET /events?count=2&every=1 HTTP/1.1\r\nlast-event-id: 7\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(field(&raw.head().await, "content-type"), Some("text/event-stream"));
    let text = String::from_utf8(raw.rest().await.0).unwrap();
    assert!(
        text.contains("id: 8\n") && text.contains("id: 9\n") && !text.contains("id: 10\n"),
        "{text}"
    );
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn an_upgraded_connection_is_an_echo() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send("GET /ws HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\nearly").await;
    let head = raw.head().await;
    assert!(
        head.starts_with("HTTP/1.1 101 ") && field(&head, "content-length").is_none(),
        "{head}"
    );
    assert_eq!(raw.bytes(5).await, b"early");
    raw.send([0, 255, 13, 10]).await;
    assert_eq!(raw.bytes(4).await, [0, 255, 13, 10]);
}

#[tokio::test]
async fn health_checks_are_answered_and_never_executed() {
    let (lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/healthz").await;
    assert_eq!(raw.answer().await.1, "ok");
    let totals = lab.oracle().totals("a");
    assert_eq!((totals.health_checks, totals.received, totals.executed), (1, 0, 0));
}

#[tokio::test]
async fn a_client_of_http_1_0_reads_to_the_end() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send("GET /bytes/3?chunked HTTP/1.0\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(raw.rest().await, (pattern(3), End::Fin));
}

#[tokio::test]
async fn broken_requests_get_a_status_and_an_end() {
    let (lab, addr) = lab("healthy").await;
    let huge = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\nbroken header\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        ("BREW / HTTP/1.1\r\nconnection: close\r\n\r\n", 405),
        (huge.as_str(), 431),
    ] {
        let mut raw = Raw::to(addr).await;
        raw.send(bytes).await;
        assert!(raw.head().await.starts_with(&format!("HTTP/1.1 {status} ")), "{status}");
        assert_eq!(raw.rest().await.1, End::Fin, "{status}");
    }
    assert_eq!(lab.oracle().totals("a").executed, 0);
}

#[tokio::test]
async fn a_method_that_is_not_spoken_is_told_which_are() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.send("BREW / HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(
        field(&head, "allow"),
        Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        "{head}"
    );
}
