//! Heads of stored writes, as they are read back from a disk or a database that others write to.

use mainstay_outbox::StoredHead;

/// Words of such rows.
pub const WORDS: &[&str] = &[
    "{\"method\":\"POST\",",
    "\"target\":\"/a\",",
    "\"fields\":[",
    "{\"name\":\"a\",\"value\":\"b\"}",
    "]}",
    "\"status\":200",
    "\\u0000",
    "\\r\\n",
    "\"",
    ":",
    "[\"a\",\"b\"]",
    "null",
    "base64",
];

/// Runs it: it is a head or it isn't; as a request it has no syntax in its values; written and read it is the same.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Ok(head) = StoredHead::of_json(bytes) else { return };
    if let Ok(request) = head.to_request() {
        let target = request.uri.to_string();
        assert!(!target.bytes().any(|byte| byte <= b' '), "{target:?}");
    }
    let _ = head.to_answer();
    let written = head.to_json();
    assert!(StoredHead::of_json(&written).is_ok_and(|again| again == head), "written otherwise");
    let _ = head.redacted();
}
