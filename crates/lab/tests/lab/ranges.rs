//! Answers to ranges, right and wrong, and content that doesn't stay the same.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mainstay_lab::seeded_byte;

use crate::raw::{Raw, field, lab, pattern};

/// Asks for content: the head and the bytes.
async fn get(addr: SocketAddr, path: &str, fields: &str) -> (String, Vec<u8>) {
    let mut raw = Raw::to(addr).await;
    raw.send(format!("GET {path} HTTP/1.1\r\n{fields}connection: close\r\n\r\n")).await;
    (raw.head().await, raw.rest().await.0)
}

/// Asks for `10..=19` of a hundred bytes.
async fn part(rule: &str) -> (String, Vec<u8>) {
    let (_lab, addr) = lab(rule).await;
    get(addr, "/bytes/100", "range: bytes=10-19\r\n").await
}

fn seeded(seed: u64, from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|at| seeded_byte(seed, at)).collect()
}

#[tokio::test]
async fn a_part_may_begin_elsewhere() {
    let (head, bytes) = part("range-wrong-start").await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(field(&head, "content-range"), Some("bytes 11-19/100"));
    assert_eq!(bytes, seeded(0, 11, 20));
}

#[tokio::test]
async fn a_part_may_be_of_another_total() {
    let (head, bytes) = part("range-wrong-total").await;
    assert_eq!(field(&head, "content-range"), Some("bytes 10-19/101"));
    assert_eq!(bytes, seeded(0, 10, 20));
}

#[tokio::test]
async fn a_part_may_have_another_etag_whatever_was_asked() {
    let (_lab, addr) = lab("range-other-etag").await;
    let (head, _) = get(addr, "/bytes/100", "").await;
    assert_eq!(field(&head, "etag"), Some("\"bytes-100\""));
    let fields = "range: bytes=10-19\r\nif-range: \"bytes-100\"\r\n";
    let (head, bytes) = get(addr, "/bytes/100", fields).await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(field(&head, "etag"), Some("\"bytes-100-1\""));
    assert_eq!(bytes, seeded(0, 10, 20));
}

#[tokio::test]
async fn a_part_may_come_as_one_of_several() {
    let (head, bytes) = part("range-multipart").await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(field(&head, "content-range"), None);
    assert_eq!(field(&head, "content-type"), Some("multipart/byteranges; boundary=lab-part"));
    assert_eq!(field(&head, "content-length"), Some(bytes.len().to_string().as_str()));
    let begin = b"--lab-part\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes 10-19/100\r\n\r\n";
    let expected = [&begin[..], &seeded(0, 10, 20), b"\r\n--lab-part--\r\n"].concat();
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn a_range_may_be_ignored_or_cut_in_half() {
    let (head, bytes) = part("range-ignored").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(bytes, pattern(100));

    let (head, bytes) = part("range-short").await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(field(&head, "content-range"), Some("bytes 10-14/100"));
    assert_eq!(bytes, seeded(0, 10, 15));
}

#[tokio::test]
async fn a_part_may_claim_to_be_gzip_or_simply_lie() {
    let (head, bytes) = part("range-gzip").await;
    assert_eq!(field(&head, "content-encoding"), Some("gzip"));
    assert_eq!(bytes, seeded(0, 10, 20));

    let (head, bytes) = part("range-lies").await;
    assert_eq!(field(&head, "content-range"), Some("bytes 10-19/100"));
    assert_eq!(field(&head, "etag"), Some("\"bytes-100\""));
    assert_eq!(bytes.len(), 10);
    assert_ne!(bytes, seeded(0, 10, 20));
}

#[tokio::test]
async fn a_range_may_be_said_to_lie_outside() {
    let (head, _) = part("range-unsatisfiable").await;
    assert!(head.starts_with("HTTP/1.1 416 "), "{head}");
    assert_eq!(field(&head, "content-range"), Some("bytes */100"));
}

#[tokio::test]
async fn a_body_may_break_and_what_continues_it_be_wrong() {
    let (lab, addr) = lab("truncate at=10 range=false; range-short path=/bytes; hang").await;
    assert_eq!(get(addr, "/bytes/100", "").await.1, pattern(10));
    let (head, bytes) = get(addr, "/bytes/100", "range: bytes=10-\r\n").await;
    assert_eq!(field(&head, "content-range"), Some("bytes 10-54/100"));
    assert_eq!(bytes, seeded(0, 10, 55));
    // What no earlier rule is for meets the last.
    let mut raw = Raw::to(addr).await;
    raw.send("GET / HTTP/1.1\r\nrange: bytes=0-\r\n\r\n").await;
    assert!(raw.is_silent().await);
    let rule = lab.server("a").unwrap().rule().to_string();
    assert_eq!(rule, "truncate at=10 range=false; range-short path=/bytes; hang");
}

#[tokio::test]
async fn whoever_asks_for_the_whole_gets_it() {
    for kind in mainstay_lab::RangeTrouble::ALL {
        let (_lab, addr) = lab(kind.word()).await;
        let (head, bytes) = get(addr, "/bytes/100", "").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(bytes, pattern(100), "{kind:?}");
    }
}

#[tokio::test]
async fn a_weak_etag_matches_no_condition() {
    let (_lab, addr) = lab("etag-weak").await;
    let (head, _) = get(addr, "/bytes/100", "range: bytes=10-\r\n").await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(field(&head, "etag"), Some("W/\"bytes-100\""));
    let fields = "range: bytes=10-\r\nif-range: W/\"bytes-100\"\r\n";
    assert!(get(addr, "/bytes/100", fields).await.0.starts_with("HTTP/1.1 200 "));
    let fields = "if-match: W/\"bytes-100\"\r\n";
    assert!(get(addr, "/bytes/100", fields).await.0.starts_with("HTTP/1.1 412 "));
}

#[tokio::test]
async fn content_may_come_without_anything_to_know_it_by() {
    let (_lab, addr) = lab("etag-none").await;
    for path in ["/bytes/100", "/bytes/100?version=header", "/bytes/100?version=date"] {
        let (head, bytes) = get(addr, path, "").await;
        for name in ["etag", "x-lab-version", "last-modified"] {
            assert_eq!(field(&head, name), None, "{path}");
        }
        assert_eq!(bytes, pattern(100));
    }
}

#[tokio::test]
async fn content_may_change_with_each_request() {
    let (_lab, addr) = lab("changing").await;
    let mut etags = BTreeSet::new();
    for number in 1..=3 {
        let (head, bytes) = get(addr, "/bytes/100", "").await;
        etags.insert(field(&head, "etag").unwrap().to_owned());
        assert_eq!(bytes, seeded(number, 0, 100));
    }
    assert_eq!(etags.len(), 3);
    // Who asks for the rest of what is gone gets the whole of what is there.
    let fields = "range: bytes=10-\r\nif-range: \"bytes-100-3\"\r\n";
    let (head, bytes) = get(addr, "/bytes/100", fields).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(bytes, seeded(4, 0, 100));
}

#[tokio::test]
async fn content_may_change_behind_its_etag() {
    let (_lab, addr) = lab("changing lies=true").await;
    let (_, first) = get(addr, "/bytes/100", "").await;
    let fields = "range: bytes=0-\r\nif-range: \"bytes-100\"\r\n";
    let (head, second) = get(addr, "/bytes/100", fields).await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_ne!(first, second);
}

#[tokio::test]
async fn content_may_stay_for_a_while() {
    let (_lab, addr) = lab("changing every=24h").await;
    let (one, two) =
        (get(addr, "/bytes/100", "").await.1, get(addr, "/bytes/100?seed=5", "").await.1);
    assert_eq!((one, two), (pattern(100), seeded(5, 0, 100)));

    let (_lab, addr) = lab("changing every=1ms").await;
    let first = get(addr, "/bytes/100", "").await.0;
    // Each request takes its time, so the period is over in the end.
    for _ in 0..1000 {
        if get(addr, "/bytes/100", "").await.0 != first {
            return;
        }
    }
    panic!("it never changed");
}

#[tokio::test]
async fn a_seed_is_other_content_with_another_etag() {
    let (_lab, addr) = lab("healthy").await;
    let (head, bytes) = get(addr, "/bytes/100?seed=5", "range: bytes=10-19\r\n").await;
    assert_eq!(field(&head, "etag"), Some("\"bytes-100-5\""));
    assert_eq!(bytes, seeded(5, 10, 20));
    for path in ["/bytes/1?seed=x", "/bytes/1?version=2"] {
        assert!(get(addr, path, "").await.0.starts_with("HTTP/1.1 400 "), "{path}");
    }
}

#[tokio::test]
async fn a_version_or_a_date_may_stand_for_the_etag() {
    let (_lab, addr) = lab("healthy").await;
    let (head, _) = get(addr, "/bytes/100?version=header&seed=5", "").await;
    assert_eq!((field(&head, "etag"), field(&head, "x-lab-version")), (None, Some("5")));

    let (head, _) = get(addr, "/bytes/100?version=date&seed=5", "").await;
    let date = "Thu, 01 Jan 2026 00:00:05 GMT";
    assert_eq!((field(&head, "etag"), field(&head, "last-modified")), (None, Some(date)));
    assert!(field(&head, "date").is_some());
    for (if_range, status) in [(date, 206), ("Thu, 01 Jan 2026 00:00:06 GMT", 200)] {
        let fields = format!("range: bytes=10-\r\nif-range: {if_range}\r\n");
        let (head, _) = get(addr, "/bytes/100?version=date&seed=5", &fields).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn a_head_request_tells_the_same_of_a_part() {
    let (_lab, addr) = lab("range-wrong-total").await;
    let mut raw = Raw::to(addr).await;
    raw.send("HEAD /bytes/100 HTTP/1.1\r\nrange: bytes=10-19\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(field(&head, "content-range"), Some("bytes 10-19/101"));
    assert_eq!(field(&head, "content-length"), Some("10"));
    raw.ask("GET", "/healthz").await;
    assert_eq!(raw.answer().await.1, "ok");
}
