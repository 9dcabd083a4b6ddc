//! WebSocket connections that break before the first message: opened again elsewhere, unseen, or told as ever.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_proxy::Proxy;
use socket2::SockRef;

use crate::support::*;
use crate::websocket::*;

const PING: &[u8] = b"\x89\x81mask\x52";
const PONG: &[u8] = b"\x8a\x01?";

/// What one upstream does with a connection, by how many there were before, here or elsewhere.
type Speak = fn(usize, TcpStream);

/// Two upstreams that count their handshakes together.
fn two(speak: Speak) -> [Origin; 2] {
    let made = Arc::new(AtomicUsize::new(0));
    [(); 2].map(|()| {
        let made = Arc::clone(&made);
        Origin::with(move |mut tcp, heard| {
            let Some(request) = read_request(&mut tcp) else { return };
            let _ = heard.send(request);
            speak(made.fetch_add(1, Ordering::Relaxed), tcp);
        })
    })
}

fn accept(tcp: &mut TcpStream) {
    tcp.write_all(ACCEPTED.as_bytes()).unwrap();
}

fn reset(tcp: &TcpStream) {
    SockRef::from(tcp).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Answers one message and a goodbye.
fn serve(mut tcp: TcpStream) {
    accept(&mut tcp);
    assert_eq!(read(&mut tcp, HELLO.len()), HELLO);
    tcp.write_all(b"\x81\x02ok").unwrap();
    assert_eq!(read(&mut tcp, GOODBYE_OF_CLIENT.len()), GOODBYE_OF_CLIENT);
    tcp.write_all(GOODBYE_OF_SERVER).unwrap();
}

fn reconnecting(origins: &[Origin]) -> Settings {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let mut settings = settings(&addresses);
    settings.routes[0].websocket.reconnect = Some(PATIENCE);
    settings
}

fn resumed(proxy: &Proxy) -> bool {
    let text = proxy.recorder().metrics_text(false, &[]);
    text.lines()
        .any(|line| line.starts_with("mainstay_bodies_resumed_total") && line.ends_with(" 1"))
}

#[test]
fn a_connection_that_is_reset_before_a_word_is_another_ones_and_nobody_notices() {
    let origins = two(|before, mut tcp| match before {
        0 => {
            accept(&mut tcp);
            reset(&tcp);
        }
        _ => serve(tcp),
    });
    let proxy = start(reconnecting(&origins));
    let mut app = open(&proxy);
    until(|| resumed(&proxy));
    assert_eq!(app.send(HELLO).bytes(4), b"\x81\x02ok");
    assert_eq!(app.send(GOODBYE_OF_CLIENT).bytes(4), GOODBYE_OF_SERVER);
    assert!(app.is_closed());
    let [one, other] = origins.map(|origin| origin.hear());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_lowercase();
    for request in [&one, &other] {
        assert!(request.to_lowercase().contains(&key), "{request}");
    }
    let record = record(&proxy);
    let reasons: Vec<_> = record.attempts.iter().map(|attempt| &*attempt.reason).collect();
    assert_eq!((reasons, record.healed), (vec!["first", "resume"], Some(1)));
    assert_ne!(record.attempts[0].endpoint, record.attempts[1].endpoint);
    let tunnel = record.tunnel.unwrap();
    assert_eq!((&*tunnel.end, tunnel.reopened), ("closed-by-application", Some(1)));
    assert!(counts(&proxy, "mainstay_tunnels_reopened_total{upstream=\"api\"} 1"));
}

#[test]
fn a_ping_on_its_way_is_asked_again_and_its_answer_comes() {
    let origins = two(|before, mut tcp| {
        accept(&mut tcp);
        assert_eq!(read(&mut tcp, PING.len()), PING);
        match before {
            0 => reset(&tcp),
            _ => {
                tcp.write_all(PONG).unwrap();
                std::io::copy(&mut tcp, &mut std::io::sink()).unwrap();
            }
        }
    });
    let proxy = start(reconnecting(&origins));
    let mut app = open(&proxy);
    assert_eq!(app.send(PING).bytes(3), PONG);
}

#[test]
fn behind_the_first_message_nothing_is_opened_again() {
    let origins = two(|before, mut tcp| {
        assert_eq!(before, 0, "a second connection");
        accept(&mut tcp);
        read(&mut tcp, HELLO.len());
        reset(&tcp);
    });
    let proxy = start(reconnecting(&origins));
    let mut app = open(&proxy);
    assert_eq!(close_code(app.send(HELLO)), 1012);
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    let record = record(&proxy);
    assert_eq!((record.attempts.len(), record.tunnel.unwrap().reopened), (1, None));
}

#[test]
fn a_route_that_doesnt_say_so_tells_the_break() {
    let origins = two(|_, mut tcp| {
        accept(&mut tcp);
        reset(&tcp);
    });
    let addresses = [origins[0].address, origins[1].address];
    let proxy = start(settings(&addresses));
    let mut app = open(&proxy);
    assert_eq!(close_code(&mut app), 1012);
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    assert_eq!(record(&proxy).attempts.len(), 1);
}

/// What the second upstream answers in place of what the first did, and the code of that.
#[test]
fn who_agrees_to_something_else_is_not_taken_and_the_application_is_told() {
    const OTHER: [(&str, &str); 4] = [
        ("sec-websocket-protocol: chat\r\n", "other-protocol"),
        ("sec-websocket-extensions: permessage-deflate\r\n", "other-extensions"),
        ("sec-websocket-accept: b3RoZXI=\r\n", "other-accept"),
        ("", "status"),
    ];
    for (place, (_, why)) in OTHER.iter().enumerate() {
        let made = Arc::new(AtomicUsize::new(0));
        let origin = Origin::with(move |mut tcp, _| {
            if read_request(&mut tcp).is_none() {
                return;
            }
            if made.fetch_add(1, Ordering::Relaxed) == 0 {
                accept(&mut tcp);
                return reset(&tcp);
            }
            let answer = match OTHER[place] {
                ("", _) => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
                (field, _) => ACCEPTED.replace("\r\n\r\n", &format!("\r\n{field}\r\n")),
            };
            tcp.write_all(answer.as_bytes()).unwrap();
            let _ = tcp.read(&mut [0; 100]);
        });
        let proxy = start(reconnecting(&[origin]));
        let mut app = open(&proxy);
        assert_eq!(close_code(&mut app), 1012, "{why}");
        app.send(GOODBYE_OF_CLIENT);
        assert!(app.is_closed());
        let record = record(&proxy);
        assert_eq!(record.cut.as_deref(), Some(*why));
        assert_eq!(record.tunnel.unwrap().end, "upstream-reset");
    }
}

#[test]
fn where_nobody_is_there_the_application_is_told_when_its_time_is_over() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        // Whoever comes later is refused.
        drop(listener);
        read_request(&mut tcp).unwrap();
        accept(&mut tcp);
        reset(&tcp);
    });
    let mut settings = settings(&[address]);
    settings.routes[0].websocket.reconnect = Some(Duration::from_millis(300));
    let proxy = start(settings);
    let mut app = open(&proxy);
    assert_eq!(close_code(&mut app), 1012);
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    upstream.join().unwrap();
    assert!(record(&proxy).cut.is_some());
}

#[test]
fn an_application_that_leaves_meanwhile_is_let_go() {
    let origins = two(|before, mut tcp| match before {
        0 => {
            accept(&mut tcp);
            reset(&tcp);
        }
        // Says nothing until the other side has gone.
        _ => drop(tcp.read(&mut [0; 1])),
    });
    let proxy = start(reconnecting(&origins));
    let mut app = open(&proxy);
    until(|| {
        let text = proxy.recorder().metrics_text(false, &[]);
        text.lines().any(|line| {
            line.starts_with("mainstay_attempts_total")
                && line.contains("reason=\"resume\"")
                && line.ends_with(" 1")
        })
    });
    app.shut_down();
    assert!(app.is_closed());
    until(|| counts(&proxy, "mainstay_tunnels_total{upstream=\"api\",end=\"application-gone\"} 1"));
}
