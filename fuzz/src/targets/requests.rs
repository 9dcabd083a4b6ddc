//! Raw bytes of an application through the whole proxy: what the upstream hears is well formed and understood alike by two readers.

use std::sync::OnceLock;

use super::net::{Stage, say};

/// Runs it.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let stage = Stage::of(&STAGE);
    let _ = say(stage.proxy, bytes);
    let heard = stage.heard();
    // Each request has a line of its own at least: none is made of nothing.
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(heard.len() <= lines, "{} requests of {lines} lines", heard.len());
}
