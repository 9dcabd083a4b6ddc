//! Requests that two readers could understand differently: they are refused, and nothing behind them is read.
//!
//! Each case is raw bytes, followed by a second request that somebody else on the way may have taken for a part of
//! the first, or the other way round. The upstream must never hear the second one, and the connection must end.

use crate::support::*;

/// What follows each case on the same connection.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// The case is answered with `status` before anything of it reaches the upstream, in one piece or in two.
#[track_caller]
fn check_refused(status: u16, case: impl AsRef<[u8]>) {
    let case = case.as_ref();
    for cut in [0, case.len() / 2] {
        let origin = Origin::good();
        let proxy = proxy(&origin);
        let mut app = App::of(&proxy);
        app.send(&case[..cut]);
        let got = app.send([&case[cut..], SECOND.as_bytes()].concat()).rest();
        let shown = String::from_utf8_lossy(case);
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?} got {got:?}");
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{shown:?} got {got:?}");
        assert_eq!(origin.heard(), Vec::<String>::new(), "{shown:?}");
    }
}

/// The body of the case is wrong, which shows only when the request is on its way. The upstream must not get a whole
/// request of it, nor the second one; the application must get no good answer.
#[track_caller]
fn check_cut(body: impl AsRef<[u8]>) {
    let body = body.as_ref();
    // It answers whole requests only.
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    app.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let got = app.send([body, SECOND.as_bytes()].concat()).rest();
    let shown = String::from_utf8_lossy(body);
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 400 "), "{shown:?} got {got:?}");
    assert_eq!(
        got.matches("HTTP/1.1 ").count().min(1),
        got.matches("HTTP/1.1 ").count(),
        "{shown:?} got {got:?}"
    );
    drop(proxy);
    for heard in origin.heard() {
        assert!(
            !heard.contains("/smuggled") && !heard.ends_with("\r\n0\r\n\r\n"),
            "{shown:?} became {heard:?}"
        );
    }
}

fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

#[test]
fn length_and_chunks_at_once() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding: CHUNKED\r\ncONTENT-lENGTH: 0",
        "Content-Length: 5\r\nX: y\r\nTransfer-Encoding:chunked",
        "Content-Length: nonsense\r\nTransfer-Encoding: chunked",
    ] {
        check_refused(400, with(fields) + "0\r\n\r\n");
    }
}

#[test]
fn length_and_chunks_behind_another_request() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let first = "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let second = with("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n";
    app.send(format!("{first}{second}{SECOND}"));
    assert_eq!(app.answer().status, 200);
    assert_eq!(app.answer().status, 400);
    assert!(app.is_closed());
    assert!(origin.heard().iter().all(|heard| heard.starts_with("POST /first ")));
}

#[test]
fn lengths_that_are_no_numbers_or_several() {
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 1_0",
        "Content-Length: 0x3",
        "Content-Length: 3 3",
        "Content-Length: 3.0",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999",
        "Content-Length:",
        "Content-Length: \u{b}3",
    ] {
        check_refused(400, with(fields) + "abc");
    }
}

#[test]
fn codings_other_than_chunked() {
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity",
        "chunked, chunked",
        "chunked , chunked",
        "gzip, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "chunked;q=1",
        "\"chunked\"",
        "\u{b}chunked",
        "",
    ] {
        check_refused(400, with(&format!("Transfer-Encoding: {coding}")) + "0\r\n\r\n");
    }
}

#[test]
fn chunks_in_http_1_0() {
    check_refused(400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#[test]
fn heads_that_are_not_of_the_grammar() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\tX: folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\r",
    ] {
        check_refused(400, head);
    }
}

#[test]
fn hosts_that_are_missing_doubled_or_strange() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://user:pw@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET b.test:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        check_refused(400, head);
    }
    check_refused(405, "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n");
}

#[test]
fn chunks_that_are_not_of_the_grammar() {
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "1_0\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        "3\r\nabc\r\n0\r\nx : y\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: y\r\n folded\r\n\r\n",
        "3\r\nabc\r\n0\r\nx",
    ] {
        check_cut(body);
    }
}

#[test]
fn a_body_that_ends_early_is_never_passed_on_as_whole() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let origin = Origin::good();
        let proxy = proxy(&origin);
        let mut app = App::of(&proxy);
        app.send(request).shut_down();
        let got = app.rest();
        assert!(!got.starts_with("HTTP/1.1 200 "), "{request:?} got {got:?}");
        drop(proxy);
        for heard in origin.heard() {
            assert!(
                !heard.ends_with("0\r\n\r\n") && !heard.ends_with("abcdefghij"),
                "{request:?} became {heard:?}"
            );
        }
    }
}

#[test]
fn fields_of_a_trailer_cant_reframe_the_request() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let got = app
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: content-length, x-a\r\n\r\n")
        .send("3\r\nabc\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: x\r\nHost: b\r\nX-A: 1\r\n\r\n")
        .answer();
    assert_eq!(got.status, 200);
    let heard = origin.hear().to_ascii_lowercase();
    let (_, trailer) = heard.split_once("\r\n0\r\n").unwrap();
    assert_eq!(trailer, "x-a: 1\r\n\r\n");
}
