//! Lines for machines: the record, or the feed's item, with time and level before it.

use serde::Serialize;

use super::{LogLevel, time::rfc3339};
use crate::call::CallRecord;
use crate::feed::FeedItem;

#[derive(Serialize)]
struct Line<'a, T> {
    time: String,
    level: &'static str,
    /// The event that the line is about; an item brings its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(flatten)]
    what: &'a T,
}

/// The record by itself, in one line.
pub(crate) fn record(record: &CallRecord) -> String {
    written(record)
}

pub(super) fn call(record: &CallRecord, level: LogLevel, now_unix_ms: u64) -> String {
    line(now_unix_ms, level, Some("call-over"), record)
}

pub(super) fn transition(item: &FeedItem, level: LogLevel) -> String {
    line(item.noticed_unix_ms.unwrap_or(item.at_unix_ms), level, None, item)
}

fn line<T: Serialize>(
    unix_ms: u64,
    level: LogLevel,
    event: Option<&'static str>,
    what: &T,
) -> String {
    let line = Line { time: rfc3339(unix_ms), level: level.code(), event, what };
    written(&line)
}

fn written(what: &impl Serialize) -> String {
    match serde_json::to_string(what) {
        Ok(line) => without_controls(line),
        // Strings, numbers and lists can always be written; a line that says so beats a lost one all the same.
        Err(why) => {
            format!(r#"{{"level":"error","event":"unwritable-line","line":{}}}"#, why.line())
        }
    }
}

/// JSON escapes the control characters of ASCII but not those above it, which steer some terminals. All of them
/// stand in strings, where an escape means the same.
fn without_controls(line: String) -> String {
    if !line.contains(char::is_control) {
        return line;
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for letter in line.chars() {
        if letter.is_control() {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}
