//! Lines for people: `key=value` pairs, values quoted where they have to be.

use std::fmt::Write;

use super::{Level, time::rfc3339};
use crate::call::{AttemptRecord, CallRecord};
use crate::feed::FeedItem;

/// The line of a call.
pub(super) fn call(record: &CallRecord, level: Level, now_unix_ms: u64) -> String {
    let mut line = Line::new(now_unix_ms, level);
    line.pair("call", &record.id.to_string());
    line.pair("route", &record.route);
    line.pair("upstream", &record.upstream);
    line.pair("method", &record.method);
    line.pair("path", &record.path);
    line.pair("outcome", &record.outcome);
    line.optional("status", record.status);
    line.pair("attempts", &record.attempts.len().to_string());
    line.optional("degraded", record.degraded.as_deref());
    line.optional("saved", record.saved.as_deref());
    line.optional("code", record.code.as_deref());
    line.optional("certainty", record.certainty.as_deref());
    line.optional("stopped", record.stopped.as_deref());
    let breaks: Vec<String> = record.attempts.iter().filter_map(one_break).collect();
    if !breaks.is_empty() {
        line.pair("breaks", &breaks.join(", "));
    }
    line.optional("body", record.body_broke.as_deref());
    line.optional("healed", record.healed);
    line.optional("cut", record.cut.as_deref());
    line.optional("resumed", record.upload_resumed);
    line.optional("not_resumed", record.upload_not_resumed.as_deref());
    line.optional("unrepeatable", record.body_unrepeatable.then_some("body"));
    line.optional("took", record.took_ms.map(milliseconds));
    line.0
}

/// The line of a change of a breaker or endpoint.
pub(super) fn transition(item: &FeedItem, level: Level) -> String {
    let mut line = Line::new(item.at_unix_ms, level);
    line.pair("event", &item.event);
    line.pair("upstream", &item.upstream);
    line.optional("endpoint", item.endpoint.as_deref());
    line.optional("code", item.code.as_deref());
    line.optional("details", item.details.as_deref());
    line.optional("cause", item.why.as_deref());
    line.optional("for", item.for_ms.map(milliseconds));
    line.optional("call", item.call);
    line.0
}

/// `a:response-timeout(maybe-processed) 1002ms`.
fn one_break(attempt: &AttemptRecord) -> Option<String> {
    let mut text = format!("{}:{}", attempt.endpoint, attempt.code.as_deref()?);
    if let Some(certainty) = &attempt.certainty {
        text += &format!("({certainty})");
    }
    if let Some(status) = attempt.status {
        text += &format!(" status {status}");
    }
    if let Some(took) = attempt.took_ms {
        text += &format!(" {}", milliseconds(took));
    }
    Some(text)
}

/// Whole milliseconds, and finer below ten.
fn milliseconds(millis: f64) -> String {
    if millis < 10.0 { format!("{millis}ms") } else { format!("{millis:.0}ms") }
}

struct Line(String);

impl Line {
    fn new(unix_ms: u64, level: Level) -> Self {
        let mut line = Self(String::with_capacity(256));
        line.pair("time", &rfc3339(unix_ms));
        line.pair("level", level.code());
        line
    }

    fn optional(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.pair(key, &value.to_string());
        }
    }

    fn pair(&mut self, key: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing into a string can't fail.
        let _ = write!(self.0, "{key}=");
        push_value(&mut self.0, value);
    }
}

/// Quotes what isn't one plain word, and escapes what could end the quotes, the line, or steer a terminal.
fn push_value(line: &mut String, value: &str) {
    let plain = |letter: char| letter.is_alphanumeric() || "-_.:/~%+@,;()[]*!$&'".contains(letter);
    if !value.is_empty() && value.chars().all(plain) {
        line.push_str(value);
        return;
    }
    line.push('"');
    for letter in value.chars() {
        match letter {
            '\'' => line.push(letter),
            letter => line.extend(letter.escape_debug()),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_plain_words_are_quoted_and_escaped() {
        let check = |value: &str, written: &str| {
            let mut line = String::new();
            push_value(&mut line, value);
            assert_eq!(line, written);
        };
        check("/v1/charges", "/v1/charges");
        check("", "\"\"");
        check("a b", "\"a b\"");
        check("a\"b=\\c'", "\"a\\\"b=\\\\c'\"");
        check("x\nlevel=info\u{1b}[0m", "\"x\\nlevel=info\\u{1b}[0m\"");
        check("\u{202e}gpj", "\"\\u{202e}gpj\"");
    }

    #[test]
    fn short_times_are_shown_finer() {
        assert_eq!(milliseconds(1002.4), "1002ms");
        assert_eq!(milliseconds(0.412), "0.412ms");
    }
}
