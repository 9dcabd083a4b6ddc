//! Faults that meet a request: what the client sees, byte for byte, and whether it was executed.

use std::time::{Duration, Instant};

use mainstay_lab::Rule;

use crate::raw::{End, Raw, field, lab, pattern, request, within};

/// Sends a POST to a server with this fault: all bytes, the end, and how often it was executed.
async fn post(rule: &str) -> (Vec<u8>, End, u64) {
    let (lab, addr) = lab(rule).await;
    let mut raw = Raw::to(addr).await;
    raw.ask("POST", "/orders").await;
    let (bytes, end) = raw.rest().await;
    assert_eq!(lab.oracle().totals("a").received, 1);
    (bytes, end, lab.oracle().executions("x"))
}

#[tokio::test]
async fn breaks_before_the_head_leave_no_byte() {
    assert_eq!(post("reset-before").await, (vec![], End::Reset, 0));
    assert_eq!(post("reset-after-execute").await, (vec![], End::Reset, 1));
    assert_eq!(post("close-before").await, (vec![], End::Fin, 0));
}

#[tokio::test]
async fn a_reset_after_the_head_leaves_the_head() {
    let (bytes, end, executed) = post("reset-after-head").await;
    assert!(bytes.starts_with(b"HTTP/1.1 201 ") && bytes.ends_with(b"\r\n\r\n"));
    assert_eq!((end, executed), (End::Reset, 1));
}

#[tokio::test]
async fn a_body_breaks_at_the_byte_that_was_asked_for() {
    for (rule, end) in [("reset-in-body at=10", End::Reset), ("truncate at=10", End::Fin)] {
        let (lab, addr) = lab(rule).await;
        let mut raw = Raw::to(addr).await;
        raw.ask("GET", "/bytes/1000").await;
        assert_eq!(field(&raw.head().await, "content-length"), Some("1000"));
        assert_eq!(raw.rest().await, (pattern(10), end), "{rule}");
        within(lab.oracle().wait_until(|books| books.servers["a"].answered_partly == 1)).await;
        assert_eq!(
            (lab.oracle().executions("x"), lab.oracle().totals("a").answered_whole),
            (1, 0),
            "{rule}"
        );
        assert_eq!(lab.oracle().snapshot().requests["x"]["GET"].body_bytes, 10, "{rule}");
    }
}

#[tokio::test]
async fn a_body_breaks_in_the_middle_and_never_at_its_end() {
    for (at, sent) in [("", 500), (" at=0", 0), (" at=99999", 999)] {
        let (_lab, addr) = lab(&format!("truncate{at}")).await;
        let mut raw = Raw::to(addr).await;
        raw.ask("GET", "/bytes/1000").await;
        raw.head().await;
        assert_eq!(raw.rest().await, (pattern(sent), End::Fin), "{at}");
    }
}

#[tokio::test]
async fn a_large_body_breaks_as_exactly_as_a_small_one() {
    let (_lab, addr) = lab("reset-in-body at=200001").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/bytes/1000000").await;
    raw.head().await;
    assert!(raw.bytes(200_001).await == pattern(200_001));
    assert_eq!(raw.rest().await, (vec![], End::Reset));
}

#[tokio::test]
async fn truncated_chunks_lack_the_last_one() {
    let (_lab, addr) = lab("truncate-chunked at=5").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/bytes/1000").await;
    let head = raw.head().await;
    assert_eq!(
        (field(&head, "transfer-encoding"), field(&head, "content-length")),
        (Some("chunked"), None)
    );
    assert_eq!(raw.rest().await, ([b"5\r\n", &pattern(5)[..], b"\r\n"].concat(), End::Fin));
}

#[tokio::test]
async fn an_event_stream_breaks_too() {
    let (_lab, addr) = lab("reset-in-body at=50").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/events?every=1").await;
    raw.head().await;
    let (bytes, end) = raw.rest().await;
    assert!(String::from_utf8(bytes).unwrap().contains("id: 1\n"));
    assert_eq!(end, End::Reset);
}

#[tokio::test]
async fn hanging_and_stalling_are_silence_and_not_an_end() {
    for (rule, executed) in [("hang", 0), ("stall-head", 1), ("stall at=10", 1)] {
        let (lab, addr) = lab(rule).await;
        let mut raw = Raw::to(addr).await;
        raw.ask("GET", "/bytes/1000").await;
        match rule {
            "stall-head" => assert!(raw.bytes(20).await.starts_with(b"HTTP/1.1 200 ")),
            "hang" => {}
            _ => {
                raw.head().await;
                assert_eq!(raw.bytes(10).await, pattern(10));
            }
        }
        within(lab.oracle().wait_until(|books| books.servers["a"].executed == executed)).await;
        if rule == "stall-head" {
            // The rest of the half has no known length; it must not be a whole head.
            let mut got = Vec::new();
            while !raw.is_silent().await {
                got.push(0);
                assert!(got.len() < 500);
            }
        } else {
            assert!(raw.is_silent().await, "{rule}");
        }
        // What is over is over: the next connection is answered, the silent one stays silent.
        lab.set("a", "healthy".parse::<Rule>().unwrap()).await.unwrap();
        assert!(raw.is_silent().await, "{rule}");
        let mut other = Raw::to(addr).await;
        other.ask("GET", "/").await;
        other.answer().await;
    }
}

#[tokio::test]
async fn a_trickle_is_whole_in_the_end() {
    let (lab, addr) = lab("trickle bytes=3 every=2").await;
    let mut raw = Raw::to(addr).await;
    let start = Instant::now();
    raw.ask("GET", "/bytes/10").await;
    raw.head().await;
    assert_eq!(raw.bytes(10).await, pattern(10));
    assert!(start.elapsed() >= Duration::from_millis(6), "three pauses come before the last piece");
    within(lab.oracle().wait_until(|books| books.servers["a"].answered_whole == 1)).await;
}

#[tokio::test]
async fn a_slow_answer_was_executed_before_it_is_slow() {
    let (lab, addr) = lab("slow fixed=60").await;
    let mut raw = Raw::to(addr).await;
    let start = Instant::now();
    raw.ask("POST", "/").await;
    within(
        lab.oracle()
            .wait_until(|books| books.duplicates().is_empty() && books.requests.contains_key("x")),
    )
    .await;
    raw.answer().await;
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert_eq!(lab.oracle().executions("x"), 1);
}

#[tokio::test]
async fn a_status_is_executed_or_not_as_it_says() {
    for (rule, status, executed) in [
        ("status", 500, 1),
        ("status code=502", 502, 1),
        ("status code=503", 503, 0),
        ("status code=503 executed=true", 503, 1),
        ("status code=500 executed=false", 500, 0),
        ("status code=404", 404, 0),
    ] {
        let (lab, addr) = lab(rule).await;
        let mut raw = Raw::to(addr).await;
        raw.ask("POST", "/").await;
        assert!(raw.answer().await.0.starts_with(&format!("HTTP/1.1 {status} ")), "{rule}");
        assert_eq!(lab.oracle().executions("x"), executed, "{rule}");
        // The connection is as good as before.
        raw.ask("GET", "/healthz").await;
        raw.answer().await;
    }
}

#[tokio::test]
async fn a_throttled_request_is_told_when_to_come_back() {
    for (rule, status, hint) in [
        ("throttle", 429, Some("2")),
        ("throttle code=503 retry-after=7", 503, Some("7")),
        ("throttle retry-after=none", 429, None),
    ] {
        let (lab, addr) = lab(rule).await;
        let mut raw = Raw::to(addr).await;
        raw.ask("POST", "/").await;
        let (head, _) = raw.answer().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{rule}");
        assert_eq!(field(&head, "retry-after"), hint, "{rule}");
        assert_eq!(lab.oracle().executions("x"), 0, "{rule}");
    }
    let (_lab, addr) = lab("throttle retry-after=date+5").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/").await;
    let (head, _) = raw.answer().await;
    let date = field(&head, "retry-after").unwrap();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
}

#[tokio::test]
async fn garbage_is_no_head() {
    let (bytes, end, executed) = post("garbage bytes=100").await;
    assert_eq!((bytes.len(), end, executed), (100, End::Fin, 0));
    assert!(!bytes.starts_with(b"HTTP/"));
}

#[tokio::test]
async fn a_scope_spares_the_others() {
    let (lab, addr) = lab("status code=502 methods=POST,PUT path=/orders").await;
    let mut raw = Raw::to(addr).await;
    for (method, path, status) in [
        ("POST", "/orders/1", 502),
        ("PUT", "/orders", 502),
        ("GET", "/orders", 200),
        ("POST", "/other", 201),
    ] {
        raw.ask(method, path).await;
        assert!(
            raw.answer().await.0.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {path}"
        );
    }
    assert_eq!(lab.oracle().totals("a").executed, 4);
}

#[tokio::test]
async fn a_rule_is_met_so_many_times_and_no_more() {
    let rule = "status code=502 methods=GET times=2; status code=504 times=1";
    let (lab, addr) = lab(rule).await;
    let mut raw = Raw::to(addr).await;
    for _ in 0..2 {
        // A rule that is set again counts anew.
        for (method, status) in
            [("GET", 502), ("POST", 504), ("POST", 201), ("GET", 502), ("GET", 200)]
        {
            raw.ask(method, "/").await;
            let (head, _) = raw.answer().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {status}: {head}");
        }
        lab.set("a", rule.parse::<Rule>().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_ratio_draws_the_same_each_time_the_seed_is_the_same() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_lab, addr) = lab("status code=503 ratio=0.3").await;
        let mut raw = Raw::to(addr).await;
        let mut hits = String::new();
        for _ in 0..100 {
            raw.ask("GET", "/").await;
            hits.push(if raw.answer().await.0.contains(" 503 ") { 'x' } else { '.' });
        }
        runs.push(hits);
    }
    assert_eq!(runs[0], runs[1]);
    assert!((15..45).contains(&runs[0].matches('x').count()), "{}", runs[0]);
}

#[tokio::test]
async fn a_health_check_meets_faults_as_everything_does() {
    let (_lab, addr) = lab("reset-before path=/healthz").await;
    let mut raw = Raw::to(addr).await;
    raw.send(request("GET", "/healthz", "x", "")).await;
    assert_eq!(raw.rest().await, (vec![], End::Reset));
}

#[tokio::test]
async fn an_upgraded_connection_breaks_at_its_byte() {
    let (_lab, addr) = lab("reset-in-body at=3").await;
    let mut raw = Raw::to(addr).await;
    raw.send("GET /ws HTTP/1.1\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    raw.head().await;
    raw.send("abcdef").await;
    assert_eq!(raw.rest().await, (b"abc".to_vec(), End::Reset));
}
