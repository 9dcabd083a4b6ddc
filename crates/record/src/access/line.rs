//! The text of a line.
//!
//! A request's part is written when its head has come, so that nothing of the head has to be kept; the answer's part when its end
//! is known. In either form the fields that the request brought along stand behind what the answer says.

use super::{AccessAnswer, AccessRequest};
use crate::byte_set::ByteSet;
use crate::digits::{
    push_address, push_apache_time, push_millis, push_number, push_shown, push_time,
};

/// `127.0.0.1 - - [27/Nov/2026:02:38:07 +0000] "GET /a HTTP/1.1" `, with the time at which the request came.
pub(super) fn combined_before(line: &mut Vec<u8>, request: &AccessRequest<'_>) {
    push_address(line, request.client);
    line.extend_from_slice(b" - - [");
    push_apache_time(line, request.began_unix_ms);
    line.extend_from_slice(b"] \"");
    push_escaped(line, request.method.as_bytes());
    line.push(b' ');
    push_escaped(line, request.path.as_bytes());
    line.push(b' ');
    line.extend_from_slice(protocol(request.version));
    line.extend_from_slice(b"\" ");
}

/// `200 512`.
pub(super) fn combined(line: &mut Vec<u8>, answer: &AccessAnswer) {
    push_number(line, answer.status.into());
    line.push(b' ');
    match answer.bytes {
        0 => line.push(b'-'),
        bytes => push_number(line, bytes),
    }
}

/// ` "-" "-"`.
pub(super) fn combined_after(line: &mut Vec<u8>, request: &AccessRequest<'_>) {
    for field in [request.referer.map(without_query), request.agent] {
        match field.filter(|field| !field.is_empty()) {
            Some(field) => {
                line.extend_from_slice(b" \"");
                push_escaped(line, field);
                line.push(b'"');
            }
            None => line.extend_from_slice(b" \"-\""),
        }
    }
}

/// The begin of an object with the same and what combined has no place for.
pub(super) fn json_before(line: &mut Vec<u8>, request: &AccessRequest<'_>) {
    line.extend_from_slice(b"{\"time\":\"");
    push_time(line, request.began_unix_ms);
    line.extend_from_slice(b"\",\"client\":\"");
    push_address(line, request.client);
    line.extend_from_slice(if request.secure { b"\",\"tls\":true" } else { b"\",\"tls\":false" });
    text(line, b",\"method\":\"", request.method.as_bytes());
    text(line, b",\"path\":\"", request.path.as_bytes());
    text(line, b",\"protocol\":\"", protocol(request.version));
}

/// What the answer says.
pub(super) fn json(line: &mut Vec<u8>, answer: &AccessAnswer) {
    let mut number = |key: &[u8], number: u64| {
        line.extend_from_slice(key);
        push_number(line, number);
    };
    number(b",\"status\":", answer.status.into());
    number(b",\"bytes\":", answer.bytes);
    line.extend_from_slice(b",\"took_ms\":");
    push_millis(line, answer.took);
    if let Some(call) = answer.call {
        text(line, b",\"call\":\"", &call.digits());
    }
    if let Some(attempts) = answer.attempts {
        line.extend_from_slice(b",\"attempts\":");
        push_number(line, attempts.into());
    }
}

/// The end of the object.
pub(super) fn json_after(line: &mut Vec<u8>, request: &AccessRequest<'_>) {
    if let Some(referer) = request.referer {
        text(line, b",\"referer\":\"", without_query(referer));
    }
    if let Some(agent) = request.agent {
        text(line, b",\"user_agent\":\"", agent);
    }
    line.push(b'}');
}

/// A referer's query may hold what the request's own may.
fn without_query(referer: &[u8]) -> &[u8] {
    referer.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

const fn protocol(version: http::Version) -> &'static [u8] {
    match version {
        http::Version::HTTP_10 => b"HTTP/1.0",
        http::Version::HTTP_2 => b"HTTP/2.0",
        http::Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

/// What may stand between quotes as it is.
static PLAIN: ByteSet = ByteSet::VISIBLE.without(b"\"\\");

/// What could end the quotes or the line, or steer a terminal, as `\xHH`, as Apache does.
fn push_escaped(line: &mut Vec<u8>, text: &[u8]) {
    if PLAIN.holds(text) {
        return line.extend_from_slice(text);
    }
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => line.push(*byte),
            byte => push_shown(line, format_args!("\\x{byte:02x}")),
        }
    }
}

/// A string of JSON and what is before it: `before` ends with its quote.
fn text(line: &mut Vec<u8>, before: &[u8], value: &[u8]) {
    line.extend_from_slice(before);
    if PLAIN.holds(value) {
        line.extend_from_slice(value);
    } else {
        for letter in String::from_utf8_lossy(value).chars() {
            match letter {
                '"' | '\\' => push_shown(line, format_args!("\\{letter}")),
                letter if letter.is_control() => {
                    push_shown(line, format_args!("\\u{:04x}", u32::from(letter)));
                }
                letter => push_shown(line, letter),
            }
        }
    }
    line.push(b'"');
}
