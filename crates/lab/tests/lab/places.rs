//! Bodies that break at each kind of place.

use std::net::SocketAddr;

use crate::raw::{End, Raw, field, lab, pattern, within};

/// What comes after the head of an answer, and how it ends.
async fn body(addr: SocketAddr, path: &str) -> (Vec<u8>, End) {
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", path).await;
    raw.head().await;
    raw.rest().await
}

#[tokio::test]
async fn a_body_breaks_at_its_first_and_at_its_last_byte() {
    for (rule, sent, end) in [
        ("reset-in-body at=first", 1, End::Reset),
        ("reset-in-body at=last", 999, End::Reset),
        ("truncate at=first", 1, End::Fin),
        ("truncate at=last", 999, End::Fin),
        ("truncate at=middle", 500, End::Fin),
        ("truncate at=0.1KB", 100, End::Fin),
    ] {
        let (_lab, addr) = lab(rule).await;
        assert_eq!(body(addr, "/bytes/1000").await, (pattern(sent), end), "{rule}");
    }
}

#[tokio::test]
async fn a_stall_may_leave_the_last_byte_out() {
    let (_lab, addr) = lab("stall at=last").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/bytes/1000").await;
    raw.head().await;
    assert_eq!(raw.bytes(999).await, pattern(999));
    assert!(raw.is_silent().await);
}

#[tokio::test]
async fn random_places_are_the_same_in_each_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_lab, addr) = lab("truncate at=random").await;
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let (bytes, _) = body(addr, "/bytes/1000").await;
            assert_eq!(bytes, pattern(bytes.len() as u64));
            lengths.push(bytes.len());
        }
        runs.push(lengths);
    }
    assert_eq!(runs[0], runs[1]);
    let mut distinct = runs[0].clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 4 && distinct.iter().all(|length| *length < 1000), "{distinct:?}");
}

#[tokio::test]
async fn a_transfer_that_goes_on_where_it_broke_ends_in_the_end() {
    let (lab, addr) = lab("reset-in-body every=30KB").await;
    let (length, mut got, mut asked) = (300_000_u64, Vec::new(), 0);
    while (got.len() as u64) < length {
        let mut raw = Raw::to(addr).await;
        let from = got.len();
        raw.send(format!(
            "GET /bytes/{length} HTTP/1.1\r\nrange: bytes={from}-\r\nconnection: close\r\n\r\n"
        ))
        .await;
        assert!(raw.head().await.starts_with("HTTP/1.1 206 "));
        got.extend(raw.rest().await.0);
        asked += 1;
        assert!(asked < 100, "{} bytes", got.len());
    }
    assert!(got == pattern(length));
    assert!(asked > 2, "{asked}");
    within(lab.oracle().wait_until(|books| books.servers["a"].answered_whole == 1)).await;
    // Nothing was sent twice, and the books know it.
    let path = lab.oracle().snapshot().paths["/bytes/300000"].clone();
    assert_eq!((path.received, path.range_requests, path.body_bytes), (asked, asked, length));
}

#[tokio::test]
async fn a_short_body_mostly_arrives_whole_and_its_connection_lives() {
    let (_lab, addr) = lab("reset-in-body every=1GB").await;
    let mut raw = Raw::to(addr).await;
    for _ in 0..3 {
        raw.ask("GET", "/healthz").await;
        assert_eq!(raw.answer().await.1, "ok");
    }
    // As for an event stream, whose length isn't known beforehand.
    raw.ask("GET", "/events?count=1").await;
    let head = raw.head().await;
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    let chunk = String::from_utf8(raw.bytes(4 + 46 + 2 + 5).await).unwrap();
    assert!(chunk.ends_with("\r\n0\r\n\r\n"), "{chunk:?}");
    raw.ask("GET", "/healthz").await;
    assert_eq!(raw.answer().await.1, "ok");
}

#[tokio::test]
async fn a_chunk_is_cut_between_inside_and_in_its_head() {
    let half = pattern(500);
    for rule in ["truncate at=between-chunks", "reset-in-body at=between-chunks"] {
        let (_lab, addr) = lab(rule).await;
        let expected = [b"1f4\r\n", &half[..], b"\r\n"].concat();
        assert_eq!(body(addr, "/bytes/1000").await.0, expected, "{rule}");
    }
    let (_lab, addr) = lab("truncate at=in-chunk").await;
    let expected = [b"3e8\r\n", &half[..]].concat();
    assert_eq!(body(addr, "/bytes/1000").await, (expected, End::Fin));

    let (_lab, addr) = lab("reset-in-body at=in-chunk-header").await;
    let mut parts = Vec::new();
    for _ in 0..20 {
        let (bytes, end) = body(addr, "/bytes/1000").await;
        let part = bytes.strip_prefix(&[b"1f4\r\n", &half[..], b"\r\n"].concat()[..]).unwrap();
        assert!(b"1f4\r\n".starts_with(part) && (1..5).contains(&part.len()), "{part:?}");
        assert_eq!(end, End::Reset);
        parts.push(part.to_vec());
    }
    assert!(parts.contains(&b"1f".to_vec()) && parts.contains(&b"1f4\r".to_vec()), "{parts:?}");
}

#[tokio::test]
async fn an_event_is_cut_within_its_block() {
    let (_lab, addr) = lab("truncate at=in-event").await;
    let (bytes, end) = body(addr, "/events?every=1").await;
    assert_eq!(end, End::Fin);
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.matches("\n\n").count(), 1, "{text:?}");
    assert!(text.contains("id: 2\n") && !text.contains("id: 3\n"), "{text:?}");
}

#[tokio::test]
async fn an_answer_to_head_has_no_place_to_break_at() {
    let (_lab, addr) = lab("truncate at=last").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("HEAD", "/bytes/77").await;
    assert_eq!(field(&raw.head().await, "content-length"), Some("77"));
    raw.ask("HEAD", "/bytes/78").await;
    assert_eq!(field(&raw.head().await, "content-length"), Some("78"));
}
