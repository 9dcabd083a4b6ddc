//! Connections that are quiet give their buffers back, and lose nothing by it.

use std::time::Duration;

use mainstay_proxy::{Options, Proxy};

use crate::support::*;

/// An upstream that answers with the first line of the request and its body.
fn echo() -> Origin {
    Origin::with(|mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let text = String::from_utf8_lossy(&request).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let said = format!("{} {body}", head.lines().next().unwrap());
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len());
            let _ = heard.send(request);
            std::io::Write::write_all(&mut tcp, answer.as_bytes()).unwrap();
        }
    })
}

fn quick_to_park(origin: &Origin) -> Proxy {
    let mut settings = settings(&[origin.address]);
    settings.threads = Some(1);
    let options = Options { park_after: Duration::from_millis(10), ..Options::quiet() };
    Proxy::start(settings, options).unwrap()
}

fn answer_to(app: &mut App, path: &str) {
    assert_eq!(app.get(path).body, format!("GET {path} HTTP/1.1 "));
}

#[test]
fn a_parked_connection_wakes_and_goes_on() {
    let origin = echo();
    let proxy = quick_to_park(&origin);
    let mut app = App::of(&proxy);
    for round in 0..20 {
        until(|| proxy.parked() == 1);
        answer_to(&mut app, &format!("/{round}"));
    }
    until(|| proxy.parked() == 1);
    app.shut_down();
    assert!(app.is_closed());
    until(|| proxy.connections() == 0);
    assert_eq!(proxy.parked(), 0);
}

#[test]
fn a_request_that_comes_in_pieces_after_parking_is_whole() {
    let origin = echo();
    let proxy = quick_to_park(&origin);
    let (mut app, mut witness) = (App::of(&proxy), App::of(&proxy));
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 1..request.len() {
        until(|| proxy.parked() == 2);
        app.send(&request[..cut]);
        until(|| proxy.parked() == 1);
        // The time in which a quiet connection is parked goes by while half a request is there.
        answer_to(&mut witness, "/witness");
        until(|| proxy.parked() == 1);
        assert_eq!(app.send(&request[cut..]).answer().body, "POST /x HTTP/1.1 abc");
    }
}

#[test]
fn half_a_request_that_came_with_the_one_before_is_kept() {
    let origin = echo();
    let proxy = quick_to_park(&origin);
    let (mut app, mut witness) = (App::of(&proxy), App::of(&proxy));
    let second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in 1..second.len() {
        app.send(format!("GET /first HTTP/1.1\r\nHost: a\r\n\r\n{}", &second[..cut]));
        assert_eq!(app.answer().body, "GET /first HTTP/1.1 ");
        for _ in 0..2 {
            answer_to(&mut witness, "/witness");
            until(|| proxy.parked() == 1);
        }
        assert_eq!(app.send(&second[cut..]).answer().body, "GET /second HTTP/1.1 ");
    }
}

#[test]
fn a_connection_that_is_idle_for_too_long_is_closed() {
    let origin = echo();
    let mut settings = settings(&[origin.address]);
    settings.limits.idle_timeout = Duration::from_millis(100);
    let options = Options { park_after: Duration::from_millis(10), ..Options::quiet() };
    let proxy = Proxy::start(settings, options).unwrap();
    let mut app = App::of(&proxy);
    answer_to(&mut app, "/");
    assert!(app.is_closed());
    assert!(App::of(&proxy).is_closed());
}

#[test]
fn parking_is_for_quiet_connections_only() {
    let origin = Origin::with(|mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let _ = heard.send(request);
            let (say, go_on) = std::sync::mpsc::channel::<()>();
            // Answers when nobody holds the other end any more: never, here.
            std::mem::forget(say);
            let _ = go_on.recv();
        }
    });
    let proxy = quick_to_park(&origin);
    let (mut app, mut witness) = (App::of(&proxy), App::of(&proxy));
    app.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.hear();
    for _ in 0..3 {
        until(|| proxy.parked() == 1);
        witness.send("GET nonsense");
        until(|| proxy.parked() == 0);
        witness = App::of(&proxy);
    }
    assert_eq!(proxy.parked().min(1), proxy.parked());
}
