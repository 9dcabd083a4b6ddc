//! Lines for people: `key=value` pairs, values quoted where they have to be.

use std::fmt::Display;
use std::time::Duration;

use mainstay_core::Event;
use mainstay_core::event::{AttemptId, Saved};

use super::{LogLevel, time::rfc3339};
use crate::CallTrace;
use crate::byte_set::ByteSet;
use crate::call::kept::{METHOD_BYTES, clean_path};
use crate::call::{AttemptRecord, CallRecord};
use crate::digits::{micros, push_fraction, push_number, push_shown, push_time};
use crate::feed::FeedItem;
use crate::trace::{CallBrief, shortened};

/// The line of a call.
pub(super) fn call(out: &mut Vec<u8>, record: &CallRecord, level: LogLevel, now_unix_ms: u64) {
    let mut line = Line::new(out, now_unix_ms, level);
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
}

/// What is said of a call of which there is nothing to tell but that it went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Well {
    status: u16,
    took: Duration,
}

impl Well {
    /// `None` for any other call: of that there has to be a record.
    pub(super) fn of(trace: &CallTrace) -> Option<Self> {
        let mut delivered = None;
        for (_, event) in trace.events() {
            match *event {
                Event::CallStarted
                | Event::AttemptStarted { attempt: AttemptId(1), .. }
                | Event::AttemptSucceeded { .. } => {}
                Event::CallDelivered {
                    status,
                    saved: Saved::NotNeeded,
                    as_is: false,
                    took,
                    ..
                } => delivered = Some(Self { status, took }),
                _ => return None,
            }
        }
        delivered
    }
}

/// The line of such a call, without its record; it is what [`call`] would write. A proxy that logs each call writes
/// nearly nothing else, so that no formatter is asked here.
pub(super) fn well(
    out: &mut Vec<u8>,
    brief: &CallBrief<'_>,
    upstream: &str,
    well: Well,
    now_unix_ms: u64,
) {
    let line = Line::new(out, now_unix_ms, LogLevel::Info).0;
    line.extend_from_slice(b" call=");
    line.extend_from_slice(&brief.id.digits());
    line.extend_from_slice(b" route=");
    push_value(line, brief.route);
    line.extend_from_slice(b" upstream=");
    push_value(line, upstream);
    line.extend_from_slice(b" method=");
    push_value(line, shortened(brief.method, METHOD_BYTES));
    line.extend_from_slice(b" path=");
    push_value(line, &clean_path(brief.path));
    line.extend_from_slice(b" outcome=delivered status=");
    push_number(line, well.status.into());
    line.extend_from_slice(b" attempts=1 took=");
    push_took(line, micros(well.took));
}

/// The line of a change of a breaker or endpoint.
pub(super) fn transition(out: &mut Vec<u8>, item: &FeedItem, level: LogLevel) {
    let mut line = Line::new(out, item.noticed_unix_ms.unwrap_or(item.at_unix_ms), level);
    line.pair("event", &item.event);
    line.optional("at", item.noticed_unix_ms.map(|_| rfc3339(item.at_unix_ms)));
    line.optional("upstream", Some(&*item.upstream).filter(|name| !name.is_empty()));
    line.optional("endpoint", item.endpoint.as_deref());
    line.optional("what", item.what.as_deref());
    line.optional("code", item.code.as_deref());
    line.optional("details", item.details.as_deref());
    line.optional("cause", item.why.as_deref());
    line.optional("by", item.who.as_deref());
    line.optional("for", item.for_ms.map(milliseconds));
    line.optional("call", item.call);
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

fn milliseconds(millis: f64) -> String {
    let mut text = Vec::new();
    // Records have whole microseconds.
    push_took(&mut text, (millis * 1e3).round() as u64);
    String::from_utf8(text).unwrap_or_default()
}

/// Whole milliseconds, and finer below ten.
fn push_took(line: &mut Vec<u8>, micros: u64) {
    if micros < 10_000 {
        push_number(line, micros / 1000);
        push_fraction(line, micros % 1000);
    } else {
        push_number(line, (micros + 500) / 1000);
    }
    line.extend_from_slice(b"ms");
}

struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    fn new(line: &'a mut Vec<u8>, unix_ms: u64, level: LogLevel) -> Self {
        line.extend_from_slice(b"time=");
        push_time(line, unix_ms);
        line.extend_from_slice(b" level=");
        line.extend_from_slice(level.code().as_bytes());
        Self(line)
    }

    fn optional(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.pair(key, &value.to_string());
        }
    }

    fn pair(&mut self, key: &str, value: &str) {
        self.0.push(b' ');
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        push_value(self.0, value);
    }
}

/// Quotes what isn't one plain word, and escapes what could end the quotes, the line, or steer a terminal.
fn push_value(line: &mut Vec<u8>, value: &str) {
    static PLAIN: ByteSet = ByteSet::ALPHANUMERIC.with(SIGNS);
    if !value.is_empty() && PLAIN.holds(value.as_bytes()) {
        return line.extend_from_slice(value.as_bytes());
    }
    let is_word = |letter: char| {
        letter.is_alphanumeric() || u8::try_from(letter).is_ok_and(|letter| SIGNS.contains(&letter))
    };
    if !value.is_empty() && value.chars().all(is_word) {
        return line.extend_from_slice(value.as_bytes());
    }
    line.push(b'"');
    for letter in value.chars() {
        match letter {
            '\'' => line.push(b'\''),
            letter => push_shown(line, letter.escape_debug()),
        }
    }
    line.push(b'"');
}

/// What may stand in a word beside letters and digits.
const SIGNS: &[u8] = b"-_.:/~%+@,;()[]*!$&'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallTag;

    #[test]
    fn values_that_are_not_plain_words_are_quoted_and_escaped() {
        let check = |value: &str, written: &str| {
            let mut line = Vec::new();
            push_value(&mut line, value);
            assert_eq!(String::from_utf8(line).unwrap(), written);
        };
        check("/v1/charges", "/v1/charges");
        check("/gr\u{fc}n", "/gr\u{fc}n");
        check("", "\"\"");
        check("a b", "\"a b\"");
        check("a\"b=\\c'", "\"a\\\"b=\\\\c'\"");
        check("x\nlevel=info\u{1b}[0m", "\"x\\nlevel=info\\u{1b}[0m\"");
        check("\u{202e}gpj", "\"\\u{202e}gpj\"");
    }

    #[test]
    fn the_line_of_a_healthy_call_is_that_of_its_record_and_any_other_call_needs_one() {
        use std::time::Duration;

        use mainstay_core::event::AttemptReason;
        use mainstay_core::{EndpointId, Timestamp};

        let (attempt, endpoint, took) = (AttemptId(1), EndpointId(0), Duration::from_micros(3_141));
        let delivered = |as_is| Event::CallDelivered {
            status: 204,
            attempts: 1,
            saved: Saved::NotNeeded,
            took,
            as_is,
        };
        let trace = |last| {
            let mut trace = CallTrace::default();
            let begins = Event::AttemptStarted { attempt, endpoint, reason: AttemptReason::First };
            let answered = Event::AttemptSucceeded { attempt, endpoint, status: 204, took };
            for event in [Event::CallStarted, begins, answered, last] {
                trace.push(Timestamp::ZERO, event);
            }
            trace
        };
        let tag = CallTag {
            id: crate::CallId::next(1),
            route: "a route".into(),
            method: http::Method::PUT,
            path: "/a\n?token=s3cret".into(),
            request: None,
        };
        let names = crate::names::Names::new("api".into(), ["a".into()].into(), [].into());
        let kept =
            crate::call::kept::KeptCall::new(tag.clone(), &names, trace(delivered(false)), || 7);
        let (mut whole, mut short) = (Vec::new(), Vec::new());
        call(&mut whole, &kept.record(), LogLevel::Info, 1_700_000_000_123);
        let it = Well::of(&trace(delivered(false))).unwrap();
        well(&mut short, &tag.brief(), "api", it, 1_700_000_000_123);
        assert_eq!(String::from_utf8(short).unwrap(), String::from_utf8(whole).unwrap());
        for other in [delivered(true), Event::BodyUnrepeatable] {
            assert_eq!(Well::of(&trace(other)), None);
        }
    }

    #[test]
    fn short_times_are_shown_finer() {
        assert_eq!(milliseconds(1002.4), "1002ms");
        assert_eq!(milliseconds(0.412), "0.412ms");
    }
}
