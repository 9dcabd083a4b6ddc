//! Stored writes in words, tables and JSON.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::outbox::WallTime;
use mainstay_outbox::{CallNote, Detail, Field, RequestPart, State, StoredHead, Summary, Totals};
use mainstay_record::rfc3339;
use serde_json::{Value, json};

use crate::paper::clean;

/// A line for each.
pub(super) fn list(list: &[Summary], now: WallTime) -> String {
    if list.is_empty() {
        return "there are none\n".into();
    }
    let mut out = String::new();
    line(&mut out, ["ID", "STATE", "UPSTREAM", "LANE", "AGE", "CALLS", "NEXT", "PLACE"]);
    for one in list {
        let state = match one.reason {
            Some(reason) => format!("{} ({reason})", one.state.name()),
            None => one.state.name().to_owned(),
        };
        let next = match one.state {
            State::Waiting if one.behind => "its lane".to_owned(),
            State::Waiting if one.due_at <= now => "now".to_owned(),
            State::Waiting => format!("in {}", short(one.due_at.since(now))),
            _ => "-".to_owned(),
        };
        line(
            &mut out,
            [
                &one.id.to_string(),
                &state,
                &clean(&one.upstream),
                &clean(one.lane.as_deref().unwrap_or("-")),
                &short(now.since(one.accepted_at)),
                &one.calls.to_string(),
                &next,
                &one.seq.to_string(),
            ],
        );
    }
    out
}

fn line(out: &mut String, [id, state, upstream, lane, age, calls, next, place]: [&str; 8]) {
    // Writing to a string can't fail.
    let _ = writeln!(
        out,
        "{id:32}  {state:20}  {upstream:12}  {lane:12}  {age:>6}  {calls:>5}  {next:>8}  {place:>7}"
    );
}

/// How many there are of each state.
pub(super) fn totals(totals: &[Totals], now: WallTime) -> String {
    if totals.is_empty() {
        return "the outbox is empty\n".into();
    }
    let mut out = format!(
        "{:16}  {:10}  {:>10}  {:>12}  {:>8}\n",
        "UPSTREAM", "STATE", "ITEMS", "BYTES", "OLDEST"
    );
    for total in totals {
        let oldest = total.oldest.map_or("-".into(), |at| short(now.since(WallTime(at))));
        let upstream = clean(&total.upstream);
        let Totals { state, items, bytes, .. } = total;
        let _ = writeln!(out, "{upstream:16}  {state:10}  {items:>10}  {bytes:>12}  {oldest:>8}");
    }
    out
}

/// All that is known of one.
pub(super) fn detail(detail: &Detail, with_secrets: bool, now: WallTime) -> String {
    let one = &detail.summary;
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:12} {}", clean(value));
    };
    row("delivery", &one.id.to_string());
    match one.reason {
        Some(reason) => row("state", &format!("{}: {reason}", one.state.name())),
        None => row("state", one.state.name()),
    }
    row("upstream", &format!("{} (route {})", one.upstream, one.route));
    if let Some(about) = one.about {
        row("tells of", &about.to_string());
    }
    if let Some(callback) = &one.callback {
        row("told to", callback);
    }
    row("lane", one.lane.as_deref().unwrap_or("none"));
    row("key", &one.key);
    row("accepted", &rfc3339(one.accepted_at.0));
    match (one.finished_at, one.state) {
        (Some(at), _) => row("finished", &rfc3339(at.0)),
        (None, State::Waiting) if one.behind => {
            row("next call", "when those before it in its lane are done")
        }
        (None, State::Waiting) if one.due_at <= now => row("next call", "now"),
        (None, State::Waiting) => row("next call", &rfc3339(one.due_at.0)),
        (None, _) => row("next call", "when a person says so: retry, settle or drop it"),
    }
    if one.state.is_open() {
        row("given up", &rfc3339(one.expires_at.0));
    }
    if one.maybe_done {
        row("done?", "one of its calls may have carried it out");
    }
    row("calls", &one.calls.to_string());
    for note in &detail.history {
        let _ = writeln!(out, "  {}", clean(&call(note)));
    }
    part(&mut out, "request", &detail.request, with_secrets);
    part(&mut out, "answer", &detail.answer, with_secrets);
    out
}

fn call(note: &CallNote) -> String {
    let CallNote { at, took_ms, call, attempts, .. } = note;
    let status = note.status.map_or(String::new(), |status| format!(" {status}"));
    let code = note.code.as_ref().map_or(String::new(), |code| format!(" {code}"));
    let certainty =
        note.certainty.as_ref().map_or(String::new(), |certainty| format!(" ({certainty})"));
    format!("{} {call}{status}{code}{certainty} {attempts} attempts, {took_ms} ms", rfc3339(*at))
}

fn part(out: &mut String, name: &str, part: &RequestPart, with_secrets: bool) {
    match part {
        Ok(None) => {}
        Err(error) => {
            let _ = writeln!(out, "{name:12} {error}");
        }
        Ok(Some((head, body))) => {
            let head = shown(head, with_secrets);
            let status = head.status.map(|status| status.to_string());
            let first = [head.method, head.target, status].into_iter().flatten();
            let _ = writeln!(out, "\n{name}\n  {}", clean(&first.collect::<Vec<_>>().join(" ")));
            for field in &head.fields {
                let (name, value) = match field {
                    Field::Text(name, value) => (name, value.as_str()),
                    Field::Bytes { name, hex } => (name, hex.as_str()),
                };
                let _ = writeln!(out, "  {}: {}", clean(name), clean(value));
            }
            match std::str::from_utf8(body) {
                Ok("") => {}
                Ok(text) if text.len() <= SHOWN_BYTES => {
                    let _ = writeln!(out, "\n  {}", clean(text));
                }
                _ => {
                    let _ = writeln!(out, "\n  {} bytes; `export` prints them", body.len());
                }
            }
        }
    }
}

/// All that is known of one, as JSON.
pub(super) fn document(detail: &Detail, with_secrets: bool) -> Value {
    let part = |part: &RequestPart| match part {
        Ok(None) => Value::Null,
        Err(error) => json!({ "error": error.to_string() }),
        Ok(Some((head, body))) => {
            let mut document = json!({ "head": shown(head, with_secrets) });
            match std::str::from_utf8(body) {
                Ok(text) => document["body"] = json!(text),
                Err(_) => document["body_base64"] = json!(STANDARD.encode(body)),
            }
            document
        }
    };
    let mut document = json!(detail.summary);
    document["history"] = json!(detail.history);
    document["request"] = part(&detail.request);
    document["answer"] = part(&detail.answer);
    document
}

fn shown(head: &StoredHead, with_secrets: bool) -> StoredHead {
    if with_secrets { head.clone() } else { head.clone().redacted() }
}

/// A length of time, in its largest unit.
fn short(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A screen or two.
const SHOWN_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_their_largest_unit() {
        for (seconds, told) in [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (259_200, "3d")] {
            assert_eq!(short(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn what_was_stored_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a?[2Jb?");
    }
}
