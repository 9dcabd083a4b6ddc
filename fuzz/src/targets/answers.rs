//! Raw bytes of an upstream as its answer: what the application gets is well formed, understood alike by two readers, or visibly broken.

use std::sync::OnceLock;

use super::net::{Stage, say};
use crate::strict::{self, Rest, Side};

/// Runs it.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let stage = Stage::of(&STAGE);
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let method = ["GET", "POST", "HEAD"][usize::from(kind % 3)];
    stage.says(bytes);
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let got = say(
        stage.proxy,
        format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}\r\n").as_bytes(),
    );
    let side = Side::Answers { to: &[method], ended: true };
    let (messages, rest) = strict::read(&got, side);
    let shown = String::from_utf8_lossy(&got);
    assert!(!matches!(rest, Rest::Wrong(_)), "the application got {rest:?}: {shown:?}");
    let (seen, wrong) = crate::second::read(&got, side);
    assert!(!wrong && seen == messages, "httparse sees {seen:?}, and not {messages:?}: {shown:?}");
    stage.heard();
}
