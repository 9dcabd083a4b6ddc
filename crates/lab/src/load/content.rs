//! Whether an answer is the lab's own: an answer that is whole and wrong is worse than none.
//!
//! | path | what has to be in the body |
//! |---|---|
//! | `/bytes/N?seed=S` | the N bytes of that seed |
//! | `/events?last=N`, `?count=N` | N events, in order, each once, and no event that tells an error |
//! | `/llm/chat?tokens=N` | N tokens, in order, and `[DONE]` |
//! | a gRPC call | one message with the request's id |
//! | any other | JSON with the request's id and method |

use serde_json::Value;

use super::{CallResult, Load};
use crate::api::seeded_byte;

/// Judges a good answer by the path of its load.
pub(super) fn is_right(load: &Load, result: &CallResult, body: &[u8]) -> Option<bool> {
    if result.method == http::Method::HEAD {
        return None;
    }
    let (path, query) = load.path.split_once('?').unwrap_or((&load.path, ""));
    let number = |name: &str| {
        let values = query.split('&').filter_map(|pair| pair.split_once('='));
        values.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse::<u64>().ok())
    };
    if let Some(length) = path.strip_prefix("/bytes/") {
        let length: u64 = length.parse().ok()?;
        let seed = number("seed").unwrap_or(0);
        let is_same = || (0..).zip(body).all(|(place, byte)| seeded_byte(seed, place) == *byte);
        return Some(body.len() as u64 == length && is_same());
    }
    if path == "/events" {
        let (events, last) = (result.events?, number("last").or(number("count"))?);
        return Some(events.count == last && events.misplaced == 0 && events.errors == 0);
    }
    if path == "/llm/chat" {
        return Some(is_text(body, number("tokens")?));
    }
    if result.grpc.is_some() {
        let (prefix, message) = body.split_at_checked(5)?;
        let length = u32::from_be_bytes(*prefix.last_chunk()?);
        return Some(length as usize == message.len() && is_echo(message, result));
    }
    Some(is_echo(body, result))
}

fn is_echo(body: &[u8], result: &CallResult) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer["id"] == result.id.as_str() && answer["method"] == result.method.as_str()
}

/// Whether a stream of chunks has all tokens of the text.
fn is_text(body: &[u8], tokens: u64) -> bool {
    let stream = String::from_utf8_lossy(body);
    let mut text = String::new();
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let chunk: Value = serde_json::from_str(data).unwrap_or_default();
        text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    let wanted: Vec<String> = (1..=tokens).map(|number| format!("t{number}")).collect();
    text == wanted.join(" ") && stream.trim_end().ends_with("data: [DONE]")
}
