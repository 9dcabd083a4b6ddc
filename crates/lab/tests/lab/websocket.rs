//! WebSocket by hand: the handshake, frames that come back, and connections that break.

use std::net::SocketAddr;

use mainstay_lab::Rule;

use crate::raw::{End, Raw, field, lab, pattern};

const HANDSHAKE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection that has shaken hands.
async fn open(addr: SocketAddr, path: &str) -> Raw {
    let mut raw = Raw::to(addr).await;
    raw.send(format!("GET {path} HTTP/1.1\r\n{HANDSHAKE}\r\n")).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    raw
}

/// A frame of a client: its first byte, then its payload, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = match payload.len() {
        short @ ..126 => vec![first, 0x80 | short as u8],
        long => [&[first, 0xff][..], &(long as u64).to_be_bytes()].concat(),
    };
    frame.extend_from_slice(b"mask");
    frame.extend(payload.iter().zip(b"mask".iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[tokio::test]
async fn a_message_comes_back_unmasked() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = open(addr, "/ws").await;
    raw.send(frame(0x81, b"hello")).await;
    assert_eq!(raw.bytes(7).await, b"\x81\x05hello");
    // In fragments, with a ping between them.
    raw.send([frame(0x02, b"ab"), frame(0x89, b"?"), frame(0x80, b"c")].concat()).await;
    assert_eq!(raw.bytes(10).await, b"\x02\x02ab\x8a\x01?\x80\x01c");
}

#[tokio::test]
async fn a_large_message_comes_back_too() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = open(addr, "/ws").await;
    raw.send(frame(0x82, &pattern(70_000))).await;
    assert_eq!(raw.bytes(10).await, [0x82, 127, 0, 0, 0, 0, 0, 1, 17, 112]);
    assert!(raw.bytes(70_000).await == pattern(70_000));
}

#[tokio::test]
async fn a_goodbye_is_answered() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = open(addr, "/ws").await;
    raw.send(frame(0x88, b"\x03\xe8bye")).await;
    assert_eq!(raw.rest().await, (b"\x88\x05\x03\xe8bye".to_vec(), End::Fin));
}

#[tokio::test]
async fn a_client_that_does_not_mask_is_told_so() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = open(addr, "/ws").await;
    raw.send(b"\x81\x05hello").await;
    assert_eq!(raw.rest().await, (b"\x88\x02\x03\xea".to_vec(), End::Fin));
}

#[tokio::test]
async fn pings_may_get_no_answer() {
    let (_lab, addr) = lab("healthy").await;
    let mut raw = open(addr, "/ws?no-pong").await;
    raw.send([frame(0x89, b"?"), frame(0x81, b"still here")].concat()).await;
    assert_eq!(raw.bytes(12).await, b"\x81\x0astill here");
}

#[tokio::test]
async fn an_open_connection_breaks_at_its_byte_or_goes_silent() {
    let (broken, addr) = lab("reset-in-body at=9").await;
    let mut raw = open(addr, "/ws").await;
    raw.send([frame(0x81, b"hello"), frame(0x81, b"world")].concat()).await;
    assert_eq!(raw.rest().await, (b"\x81\x05hello\x81\x05".to_vec(), End::Reset));
    assert_eq!(broken.oracle().totals("a").executed, 1);

    let (silent, addr) = lab("healthy").await;
    let mut raw = open(addr, "/ws").await;
    silent.set("a", "half-dead".parse::<Rule>().unwrap()).await.unwrap();
    raw.send(frame(0x89, b"?")).await;
    assert!(raw.is_silent().await);
    let mut raw = open(addr, "/ws").await;
    raw.send(frame(0x89, b"?")).await;
    assert_eq!(raw.bytes(3).await, b"\x8a\x01?");
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let (_lab, addr) = lab("healthy").await;
    for (method, old, new, status) in [
        ("GET", "version: 13", "version: 8", 426),
        ("GET", "dGhl", "dGh", 400),
        ("POST", "", "", 400),
    ] {
        let mut raw = Raw::to(addr).await;
        let fields = HANDSHAKE.replace(old, new);
        raw.send(format!("{method} /ws HTTP/1.1\r\n{fields}\r\n")).await;
        let (head, _) = raw.answer().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}
