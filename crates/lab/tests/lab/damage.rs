//! Bytes that no client should send: the lab may refuse them, but never panics and never executes them.

use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_lab::{Lab, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::{Raw, lab, within};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics in all tasks from now on: a task's own doesn't fail a test by itself.
fn watch_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        usual(info);
    }));
}

/// Sends these bytes, closes its side, and waits for the other.
async fn throw(addr: std::net::SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may have closed before it has read everything: that is an answer too.
    let _ = within(stream.write_all(bytes)).await;
    let _ = stream.shutdown().await;
    let _ = within(stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn a_request_cut_at_any_byte_is_not_executed() {
    watch_panics();
    let (lab, addr) = lab("healthy").await;
    let chunked = "POST /x HTTP/1.1\r\nx-request-id: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let sized = "POST /x HTTP/1.1\r\nx-request-id: x\r\ncontent-length: 3\r\n\r\nabc";
    for request in [chunked, sized] {
        for end in 0..request.len() {
            throw(addr, &request.as_bytes()[..end]).await;
        }
    }
    assert_eq!(lab.oracle().executions("x"), 0);
    for request in [chunked, sized] {
        throw(addr, request.as_bytes()).await;
    }
    assert_eq!((lab.oracle().executions("x"), PANICS.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn a_request_with_any_byte_changed_does_no_harm() {
    watch_panics();
    let lab = Lab::start(Spec { control: Some(0), ..Spec::of(["a"]) }).await.unwrap();
    let addrs = [lab.servers()[0].addr(), lab.control_addr().unwrap()];
    let h1: &[u8] = b"POST /servers/a/fault HTTP/1.1\r\ncontent-length: 7\r\n\r\nhealthy";
    let h2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x06\x01\x05\0\0\0\x01\x83\x84\x86\x41\x01l";
    // A seed of its own, so that the run can be repeated: nothing else in here is left to chance.
    let mut dice = 7u64;
    for round in 0..400 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = if round % 4 == 0 { h2.to_vec() } else { h1.to_vec() };
        let at = (dice >> 33) as usize % bytes.len();
        bytes[at] = (dice >> 20) as u8;
        // After a change the preface's length fields may promise more than comes: the shutdown ends that.
        throw(addrs[round % 2], &bytes).await;
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    let mut raw = Raw::to(addrs[0]).await;
    raw.ask("GET", "/healthz").await;
    raw.answer().await;
}
