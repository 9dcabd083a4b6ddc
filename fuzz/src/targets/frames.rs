//! Raw bytes behind the preface of HTTP/2 through the whole proxy: what the upstream hears is HTTP/1.1 and well formed.
//!
//! Lengths of frames are mended, so that not nearly all inputs end at the first frame.

use std::sync::OnceLock;

use super::net::{Stage, say};

/// The longest frame that is made.
const LONGEST: usize = 300;

/// Runs it.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let stage = Stage::of(&STAGE);
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let mut rest = bytes;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let length = usize::from(head[0]).min(LONGEST).min(behind.len());
        let (payload, next) = behind.split_at(length);
        said.extend([0, 0, length as u8]);
        // The kinds and flags that there are, and streams that may be opened.
        said.extend([head[1] % 11, head[2], 0, 0, 0, head[3] % 16]);
        said.extend_from_slice(payload);
        rest = next;
    }
    let _ = say(stage.proxy, &said);
    stage.heard();
}
