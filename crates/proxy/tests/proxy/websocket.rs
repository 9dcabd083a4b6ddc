//! WebSocket connections: what passes, what is asked, and how each break is told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_proxy::Proxy;
use mainstay_record::CallRecord;
use socket2::SockRef;

use crate::support::*;

pub(crate) const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub(crate) const HELLO: &[u8] = b"\x81\x85mask\x05\x04\x1f\x07\x02";
pub(crate) const GOODBYE_OF_CLIENT: &[u8] = b"\x88\x82mask\x6e\x89";
pub(crate) const GOODBYE_OF_SERVER: &[u8] = b"\x88\x02\x03\xe8";

/// An upstream that shakes hands and then does this.
fn upstream(speak: impl Fn(TcpStream) + Send + Sync + 'static) -> Origin {
    Origin::with(move |mut tcp, heard| {
        let Some(request) = read_request(&mut tcp) else { return };
        let _ = heard.send(request);
        tcp.write_all(ACCEPTED.as_bytes()).unwrap();
        speak(tcp);
    })
}

/// Settings by which a quiet upstream is asked at once.
fn asking(origin: &Origin, pong_within: Duration) -> Settings {
    let mut settings = settings(&[origin.address]);
    settings.routes[0].websocket.ping_after = Some(Duration::from_millis(20));
    settings.routes[0].websocket.pong_within = pong_within;
    settings
}

/// An application that has shaken hands.
pub(crate) fn open(proxy: &Proxy) -> App {
    let mut app = App::of(proxy);
    let got = app.send(HANDSHAKE).answer();
    assert_eq!((got.status, got.field("upgrade")), (101, Some("websocket")));
    app
}

pub(crate) fn read(tcp: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    tcp.read_exact(&mut bytes).unwrap();
    bytes
}

/// The payload of a masked Ping of Mainstay's.
fn read_ping(tcp: &mut TcpStream) -> Vec<u8> {
    let frame = read(tcp, 22);
    assert_eq!(frame[..2], *b"\x89\x90");
    let payload: Vec<u8> =
        frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    assert!(payload.starts_with(b"mainstay"), "{payload:?}");
    payload
}

/// The code of the Close that comes next.
pub(crate) fn close_code(app: &mut App) -> u16 {
    let head = app.bytes(2);
    assert_eq!((head[0], head[1] & 0x80), (0x88, 0), "{head:?}");
    let payload = app.bytes(head[1].into());
    u16::from_be_bytes([payload[0], payload[1]])
}

/// The record of the call that broke.
pub(crate) fn record(proxy: &Proxy) -> CallRecord {
    until(|| !proxy.recorder().recent().is_empty());
    proxy.recorder().recent().remove(0)
}

pub(crate) fn counts(proxy: &Proxy, line: &str) -> bool {
    proxy.recorder().metrics_text(false, &[]).lines().any(|found| found == line)
}

#[test]
fn frames_and_the_goodbyes_pass_untouched() {
    let origin = upstream(|mut tcp| {
        assert_eq!(read(&mut tcp, HELLO.len()), HELLO);
        tcp.write_all(b"\x01\x01a\x89\x01?\x80\x01b").unwrap();
        assert_eq!(read(&mut tcp, GOODBYE_OF_CLIENT.len()), GOODBYE_OF_CLIENT);
        tcp.write_all(GOODBYE_OF_SERVER).unwrap();
    });
    let proxy = proxy(&origin);
    let mut app = open(&proxy);
    assert_eq!(app.send(HELLO).bytes(9), b"\x01\x01a\x89\x01?\x80\x01b");
    assert_eq!(app.send(GOODBYE_OF_CLIENT).bytes(4), GOODBYE_OF_SERVER);
    assert!(app.is_closed());
    until(|| {
        counts(&proxy, "mainstay_tunnels_total{upstream=\"api\",end=\"closed-by-application\"} 1")
    });
    assert!(counts(&proxy, "mainstay_tunnel_bytes_total{upstream=\"api\",direction=\"sent\"} 19"));
    assert!(counts(
        &proxy,
        "mainstay_tunnel_bytes_total{upstream=\"api\",direction=\"received\"} 13"
    ));
    assert!(proxy.recorder().recent().is_empty(), "nothing broke");
}

#[test]
fn a_quiet_upstream_is_asked_and_the_application_hears_nothing_of_it() {
    let origin = upstream(|mut tcp| {
        for _ in 0..5 {
            let payload = read_ping(&mut tcp);
            tcp.write_all(&[b"\x8a\x10", payload.as_slice()].concat()).unwrap();
        }
        tcp.write_all(b"\x81\x02ok").unwrap();
        tcp.write_all(GOODBYE_OF_SERVER).unwrap();
        // More Pings may have been on their way.
        std::io::copy(&mut tcp, &mut std::io::sink()).unwrap();
    });
    let proxy = start(asking(&origin, PATIENCE));
    let mut app = open(&proxy);
    assert_eq!(app.bytes(8), [b"\x81\x02ok", GOODBYE_OF_SERVER].concat());
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    until(|| {
        counts(&proxy, "mainstay_tunnels_total{upstream=\"api\",end=\"closed-by-upstream\"} 1")
    });
    let text = proxy.recorder().metrics_text(false, &[]);
    let pings = text.lines().find_map(|line| {
        line.strip_prefix("mainstay_tunnel_pings_total{upstream=\"api\"} ")?.parse::<u64>().ok()
    });
    assert!(pings >= Some(5), "{pings:?}");
}

#[test]
fn an_upstream_that_says_nothing_any_more_is_told_as_1012_and_recorded() {
    let origin = upstream(|mut tcp| {
        tcp.write_all(b"\x81\x02ok").unwrap();
        // Reads all and says nothing.
        std::io::copy(&mut tcp, &mut std::io::sink()).unwrap();
    });
    let proxy = start(asking(&origin, Duration::from_millis(50)));
    let mut app = open(&proxy);
    assert_eq!(app.bytes(4), b"\x81\x02ok");
    assert_eq!(close_code(&mut app), 1012);
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    let record = record(&proxy);
    assert_eq!((record.status, record.body_broke.as_deref()), (Some(101), Some("body-stalled")));
    let tunnel = record.tunnel.unwrap();
    assert_eq!((&*tunnel.end, tunnel.close_code), ("upstream-dead", Some(1012)));
    assert_eq!((tunnel.pings, tunnel.received_bytes), (1, 4));
    assert!(tunnel.lasted_ms >= 70.0);
    assert!(counts(&proxy, "mainstay_tunnels_total{upstream=\"api\",end=\"upstream-dead\"} 1"));
}

#[test]
fn a_reset_between_frames_is_told_and_one_within_a_frame_cuts() {
    for (sent, is_told) in [(&b"\x81\x05hello"[..], true), (b"\x81\x05he", false)] {
        let origin = upstream(move |mut tcp| {
            tcp.write_all(sent).unwrap();
            // The application has it all before the reset throws it away.
            read(&mut tcp, HELLO.len());
            SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let proxy = proxy(&origin);
        let mut app = open(&proxy);
        assert_eq!(app.bytes(sent.len()), sent);
        app.send(HELLO);
        if is_told {
            assert_eq!(close_code(&mut app), 1012);
            app.send(GOODBYE_OF_CLIENT);
        }
        assert!(app.is_closed());
        let record = record(&proxy);
        assert_eq!(record.tunnel.unwrap().end, "upstream-reset");
        assert_eq!(record.body_broke.as_deref(), Some("body-reset"));
    }
}

#[test]
fn what_is_no_websocket_is_told_as_1011() {
    let origin = upstream(|mut tcp| {
        tcp.write_all(b"\x81\x01aHTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        std::io::copy(&mut tcp, &mut std::io::sink()).unwrap();
    });
    let proxy = proxy(&origin);
    let mut app = open(&proxy);
    assert_eq!(app.bytes(3), b"\x81\x01a");
    assert_eq!(close_code(&mut app), 1011);
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    assert_eq!(record(&proxy).tunnel.unwrap().end, "upstream-malformed");
}

#[test]
fn an_application_that_leaves_without_a_word_is_nobody_else_s_fault() {
    let (say, said) = channel();
    let origin = upstream(move |mut tcp| {
        let mut all = Vec::new();
        tcp.read_to_end(&mut all).unwrap();
        say.send(all).unwrap();
    });
    let proxy = proxy(&origin);
    let mut app = open(&proxy);
    app.send(HELLO).shut_down();
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), HELLO);
    assert!(app.is_closed());
    let record = record(&proxy);
    assert_eq!(record.tunnel.unwrap().end, "application-gone");
    assert_eq!(record.body_broke.as_deref(), Some("client-gone"));
}

#[test]
fn without_pings_a_connection_on_which_nothing_moves_ends() {
    let origin = upstream(|mut tcp| {
        std::io::copy(&mut tcp, &mut std::io::sink()).unwrap();
    });
    let mut settings = settings(&[origin.address]);
    settings.routes[0].websocket.ping_after = None;
    settings.routes[0].body_idle_timeout = Duration::from_millis(50);
    let proxy = start(settings);
    let mut app = open(&proxy);
    assert_eq!(close_code(&mut app), 1012);
    app.send(GOODBYE_OF_CLIENT);
    assert!(app.is_closed());
    assert_eq!(record(&proxy).tunnel.unwrap().end, "idle");
}

/// An upstream that sends every frame's bytes back until the end, which it answers in kind.
fn mirror() -> Origin {
    upstream(|mut tcp| {
        let mut piece = [0; 4096];
        while let Ok(1..) = tcp.read(&mut piece) {
            if piece[0] == 0x88 {
                return tcp.write_all(GOODBYE_OF_SERVER).unwrap();
            }
            tcp.write_all(b"\x81\x02ok").unwrap();
        }
    })
}

#[test]
fn a_connection_outlives_a_reload() {
    let origin = mirror();
    let proxy = proxy(&origin);
    let mut app = open(&proxy);
    assert_eq!(app.send(HELLO).bytes(4), b"\x81\x02ok");
    proxy.reload(settings(&[])).unwrap();
    assert_eq!(app.send(HELLO).bytes(4), b"\x81\x02ok");
    assert_eq!(app.send(GOODBYE_OF_CLIENT).bytes(4), GOODBYE_OF_SERVER);
    assert!(app.is_closed());
}

#[test]
fn a_drain_waits_for_its_time_and_then_says_goodbye_to_both() {
    let (say, said) = channel();
    let origin = upstream(move |mut tcp| {
        tcp.write_all(b"\x81\x02ok").unwrap();
        let close = read(&mut tcp, 8);
        tcp.shutdown(Shutdown::Both).unwrap();
        say.send(close).unwrap();
    });
    let proxy = proxy(&origin);
    let mut app = open(&proxy);
    assert_eq!(app.bytes(4), b"\x81\x02ok");
    let left = std::thread::scope(|scope| {
        let drained = scope.spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(proxy.drain(Duration::from_millis(20)))
        });
        assert_eq!(close_code(&mut app), 1001);
        app.send(GOODBYE_OF_CLIENT);
        assert!(app.is_closed());
        drained.join().unwrap()
    });
    assert_eq!(left, 0, "nothing was cut");
    assert_eq!(said.recv_timeout(PATIENCE).unwrap()[..2], *b"\x88\x82");
    until(|| counts(&proxy, "mainstay_tunnels_total{upstream=\"api\",end=\"drained\"} 1"));
    assert!(proxy.recorder().recent().is_empty(), "nothing broke");
}

#[test]
fn another_protocol_is_passed_on_unread_and_counted() {
    let origin = Origin::with(|mut tcp, _| {
        read_request(&mut tcp).unwrap();
        let head =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        tcp.write_all(head).unwrap();
        let mut echo = tcp.try_clone().unwrap();
        std::io::copy(&mut tcp, &mut echo).unwrap();
    });
    let proxy = proxy(&origin);
    let mut app = App::of(&proxy);
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(app.send(asked).answer().status, 101);
    assert_eq!(app.send(b"\x81\x81not masked").bytes(12), b"\x81\x81not masked");
    app.shut_down();
    assert!(app.is_closed());
    until(|| counts(&proxy, "mainstay_tunnels_total{upstream=\"api\",end=\"finished\"} 1"));
}
