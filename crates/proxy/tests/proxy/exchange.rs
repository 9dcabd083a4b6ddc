//! Requests and answers, end to end.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_config::settings::Forwarded;

use crate::support::*;

#[test]
fn a_request_goes_through_and_says_through_whom() {
    let origin = Origin::answering(
        "HTTP/1.1 201 Created\r\ncontent-length: 2\r\nkeep-alive: x\r\nx-mine: 1\r\nvia: 1.1 other\r\n\r\nok",
        false,
    );
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let got = app
        .send("POST /a?b=c HTTP/1.1\r\nHost: app.test:80\r\nConnection: x-drop\r\nX-Drop: 1\r\nX-Keep: 2\r\nContent-Length: 3\r\n\r\nabc")
        .answer();
    assert_eq!((got.status, got.body.as_str()), (201, "ok"));
    assert_eq!(got.field("via"), Some("1.1 other, 1.1 mainstay"));
    assert_eq!(got.field("mainstay-attempts"), Some("1"));
    assert_eq!(got.field("mainstay-call-id").map(str::len), Some(16));
    assert_eq!(
        got.field("proxy-status"),
        Some(format!("mainstay; next-hop=\"{}\"", origin.address).as_str())
    );
    assert_eq!((got.field("keep-alive"), got.field("x-mine")), (None, Some("1")));

    let heard = origin.hear().to_ascii_lowercase();
    assert!(
        heard.starts_with("post /a?b=c http/1.1\r\n") && heard.ends_with("\r\n\r\nabc"),
        "{heard}"
    );
    for line in [&format!("host: {}", origin.address), "via: 1.1 mainstay", "x-keep: 2"] {
        assert!(heard.contains(&format!("\r\n{line}\r\n")), "{line} isn't in {heard}");
    }
    assert!(!heard.contains("x-drop"));
}

/// What the upstream hears of where a request came from.
fn heard_of_origin(forwarded: Forwarded, own: &str) -> Vec<String> {
    let origin = Origin::good();
    let mut settings = settings(&[origin.address]);
    settings.routes[0].forwarded = forwarded;
    let proxy = start(settings);
    let mut app = App::of(&proxy);
    app.send(format!("GET / HTTP/1.1\r\nHost: app.test:80\r\n{own}\r\n")).answer();
    let heard = origin.hear().to_ascii_lowercase();
    assert!(heard.contains("\r\nvia: 1.1 mainstay\r\n"), "{heard}");
    let mut lines: Vec<_> =
        heard.lines().filter(|line| line.contains("forwarded")).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn an_upstream_learns_where_a_request_came_from_only_if_that_is_wanted() {
    let standard = "forwarded: for=127.0.0.1;host=\"app.test:80\";proto=http";
    let legacy =
        ["x-forwarded-for: 127.0.0.1", "x-forwarded-host: app.test:80", "x-forwarded-proto: http"];
    let both = [&[standard], &legacy[..]].concat();
    assert!(heard_of_origin(Forwarded::Nothing, "").is_empty());
    assert_eq!(heard_of_origin(Forwarded::Standard, ""), [standard]);
    assert_eq!(heard_of_origin(Forwarded::Legacy, ""), legacy);
    assert_eq!(heard_of_origin(Forwarded::Both, ""), both);
}

#[test]
fn what_the_application_says_of_its_own_callers_goes_on() {
    let own = "Forwarded: for=_a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(
        heard_of_origin(Forwarded::Nothing, own),
        ["forwarded: for=_a", "x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https"]
    );
    assert_eq!(
        heard_of_origin(Forwarded::Both, own),
        [
            "forwarded: for=_a, for=127.0.0.1;host=\"app.test:80\";proto=http",
            "x-forwarded-for: 192.0.2.1, 127.0.0.1",
            "x-forwarded-host: app.test:80",
            "x-forwarded-proto: https",
        ]
    );
}

#[test]
fn a_connection_carries_many_requests() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    for _ in 0..20 {
        assert_eq!(app.get("/").status, 200);
    }
    // Sent ahead, without waiting.
    app.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((app.answer().body, app.answer().body), ("ok".into(), "ok".into()));
}

#[test]
fn without_a_route_there_is_a_problem_document() {
    let origin = Origin::good();
    let mut settings = settings(&[origin.address]);
    settings.routes[0].matcher.hosts = vec!["api.test".into()];
    let proxy = start(settings);
    let got = App::of(&proxy).get("/");
    assert_eq!((got.status, got.field("content-type")), (404, Some("application/problem+json")));
    assert_eq!(got.member("code"), "no-route");
    assert!(origin.heard().is_empty());
    let mut app = App::of(&proxy);
    let got = app.send("GET http://API.test/x HTTP/1.1\r\nHost: app.test\r\n\r\n").answer();
    assert_eq!(got.status, 200);
    assert!(origin.hear().starts_with("GET /x HTTP/1.1\r\n"));
}

#[test]
fn an_upstream_that_is_down_is_a_problem_that_says_that_nothing_was_done() {
    // A port that was free a moment ago and that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = start(settings(&[closed]));
    let mut app = App::of(&proxy);
    let got = app.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").answer();
    assert_eq!(got.status, 502);
    assert_eq!(got.member("break"), "connect-refused");
    assert_eq!(got.member("was_done"), "no");
    assert_eq!(got.member("call"), got.field("mainstay-call-id").unwrap());
    assert_eq!(
        got.field("proxy-status"),
        Some("mainstay; error=connection_refused; details=\"connect-refused\"")
    );
    let head = app.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest();
    assert!(head.starts_with("HTTP/1.1 502 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_saved_answer_says_from_what() {
    let broken = AtomicBool::new(false);
    let origin = Origin::with(move |mut tcp, _| {
        while read_request(&mut tcp).is_some() {
            let status = if broken.swap(true, Ordering::Relaxed) { "200 OK" } else { "502 Bad" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
            tcp.write_all(answer.as_bytes()).unwrap();
        }
    });
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let status = |got: &Got| {
        let (hop, rest) = got.field("proxy-status").unwrap().split_once(';').unwrap();
        assert_eq!(hop, "mainstay");
        rest.trim().strip_prefix(&format!("next-hop=\"{}\"", origin.address)).unwrap().to_owned()
    };
    let saved = app.get("/");
    assert_eq!((saved.status, saved.field("mainstay-attempts")), (200, Some("2")));
    assert_eq!(status(&saved), "; received-status=200; details=\"saved from server-error\"");
    assert_eq!(status(&app.get("/")), "");
}

#[test]
fn a_broken_answer_that_is_all_there_is_says_so() {
    let origin = Origin::answering("HTTP/1.1 500 Broken\r\ncontent-length: 2\r\n\r\nno", false);
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let got = app.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").answer();
    assert_eq!((got.status, got.body.as_str()), (500, "no"));
    let status = got.field("proxy-status").unwrap();
    assert!(
        status.ends_with("; received-status=500; details=\"as-is after server-error\""),
        "{status}"
    );
}

#[test]
fn a_write_whose_answer_never_came_has_an_unknown_outcome() {
    let origin = Origin::with(|mut tcp, heard| {
        if let Some(request) = read_request(&mut tcp) {
            let _ = heard.send(request);
        }
    });
    let proxy = proxy(&origin);
    let got =
        App::of(&proxy).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").answer();
    assert_eq!((got.status, got.member("was_done")), (502, "unknown".into()));
    assert_eq!((got.member("stop"), got.member("attempts")), ("outcome-unknown".into(), 1.into()));
    assert_eq!(origin.heard().len(), 1);
}

#[test]
fn a_body_that_breaks_in_the_middle_never_looks_complete() {
    for (answer, in_chunks) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", true),
    ] {
        let origin = Origin::answering(answer, true);
        let proxy = proxy(&origin);
        // A write's answer is neither held back nor asked for again.
        let got = App::of(&proxy).send("POST / HTTP/1.1\r\nHost: a\r\n\r\n").rest();
        assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
        let end = if in_chunks { "4\r\nhalf\r\n" } else { "half" };
        assert!(got.ends_with(end), "{got}");
    }
}

#[test]
fn a_broken_body_that_ends_by_closing_ends_in_a_reset() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let origin = Origin::answering(answer, true);
    let proxy = proxy(&origin);
    let mut tcp = std::net::TcpStream::connect(proxy.addresses()[0]).unwrap();
    tcp.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let error = std::io::Read::read_to_end(&mut tcp, &mut got).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
        false,
    );
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    app.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, close\r\nTrailer: x-up\r\n",
    );
    let got = app.send("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-up: 9\r\n\r\n").rest();
    assert!(got.ends_with("2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n"), "{got}");
    let heard = origin.hear();
    assert!(heard.ends_with("3\r\nabc\r\n0\r\nx-up: 9\r\n\r\n"), "{heard}");
}

#[test]
fn the_body_is_asked_for_when_the_upstream_takes_it() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    app.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(app.answer().status, 100);
    assert_eq!(app.send("abc").answer().status, 200);
    assert!(origin.hear().ends_with("abc"));
}

#[test]
fn an_upgrade_joins_both_sides() {
    let origin = Origin::with(|mut tcp, heard| {
        let Some(request) = read_request(&mut tcp) else { return };
        let _ = heard.send(request);
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello";
        tcp.write_all(answer).unwrap();
        let mut echo = tcp.try_clone().unwrap();
        std::io::copy(&mut tcp, &mut echo).unwrap();
    });
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let got = app
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .answer();
    assert_eq!(
        (got.status, got.field("upgrade"), got.field("connection")),
        (101, Some("echo"), Some("upgrade"))
    );
    let heard = origin.hear().to_ascii_lowercase();
    assert!(
        heard.contains("\r\nconnection: upgrade\r\n") && heard.contains("\r\nupgrade: echo\r\n"),
        "{heard}"
    );
    app.send("ping");
    app.shut_down();
    assert_eq!(app.rest(), "helloping");
}

#[test]
fn limits_are_told_and_the_answer_arrives() {
    let origin = Origin::good();
    let mut settings = settings(&[origin.address]);
    settings.limits.body_bytes = Some(1000);
    settings.limits.head_bytes = 10_000;
    let proxy = start(settings);
    let mut app = App::of(&proxy);
    let got = app
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}",
            "x".repeat(50_000)
        ))
        .answer();
    assert_eq!((got.status, got.member("code")), (413, "body-too-large".into()));
    assert!(app.is_closed());

    let mut app = App::of(&proxy);
    app.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let got = app.send(format!("7d0\r\n{}\r\n", "x".repeat(2000))).answer();
    assert_eq!(got.status, 413);
    assert!(app.is_closed());

    let mut app = App::of(&proxy);
    let got = app
        .send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000)))
        .answer();
    assert_eq!(got.status, 431);
    assert!(app.is_closed());

    let fields: String = (0..150).map(|n| format!("x-{n}: 1\r\n")).collect();
    let got = App::of(&proxy).send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).answer();
    assert_eq!(got.status, 431);
}

#[test]
fn a_slow_head_is_told_so_and_closed() {
    let origin = Origin::good();
    let mut settings = settings(&[origin.address]);
    settings.limits.head_timeout = std::time::Duration::from_millis(80);
    let proxy = start(settings);
    for beginning in ["GET / HT", "P", "PRI * HTTP/2", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"] {
        let mut app = App::of(&proxy);
        if beginning.contains("\r\n\r\n") {
            app.send(beginning);
            assert_eq!(app.answer().status, 200);
        } else {
            app.send(beginning);
        }
        if beginning.starts_with('P') {
            // Nobody knows yet which protocol it is, so there is nothing to say.
            assert!(app.is_closed());
        } else {
            let got = app.answer();
            assert_eq!(
                (got.status, got.member("type")),
                (408, "urn:mainstay:refusal:head-too-slow".into())
            );
            assert!(app.is_closed());
        }
    }
}

#[test]
fn too_many_connections_are_closed_at_once() {
    let origin = Origin::good();
    let mut settings = settings(&[origin.address]);
    settings.limits.connections = 2;
    let proxy = start(settings);
    let mut apps: Vec<App> = (0..2).map(|_| App::of(&proxy)).collect();
    for app in &mut apps {
        assert_eq!(app.get("/").status, 200);
    }
    assert!(App::of(&proxy).is_closed());
    assert_eq!(apps[0].get("/").status, 200);
}
