//! Incidents in words and in a table.

use std::fmt::Write as _;

use mainstay_record::{Incident, rfc3339};
use serde_json::Value;

use super::Detail;
use crate::paper::clean;

/// A line for each.
pub(super) fn list(incidents: &[Incident]) -> String {
    let mut rows = vec![
        [
            "ID", "BEGAN", "LASTED", "UPSTREAM", "ENDPOINT", "CAUSE", "MET", "SAVED", "FAILED",
            "ENDED BY",
        ]
        .map(str::to_owned),
    ];
    rows.extend(incidents.iter().map(|one| {
        [
            one.id.clone(),
            rfc3339(one.began_unix_ms),
            length(one.lasted_ms),
            clean(&one.upstream),
            clean(one.endpoint.as_deref().unwrap_or("-")),
            clean(&one.cause),
            one.calls.met.to_string(),
            one.calls.saved.to_string(),
            one.calls.failed.to_string(),
            one.ended_by.clone().unwrap_or_else(|| "(open)".to_owned()),
        ]
    }));
    table(&rows)
}

/// All that is known of one.
pub(super) fn detail(detail: &Detail) -> String {
    let one = &detail.incident;
    let mut out = format!("{}\n\n", clean(&one.summary));
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:12} {}", clean(value));
    };
    row("began", &format!("{} ({})", rfc3339(one.began_unix_ms), one.began_by));
    row("last break", &rfc3339(one.last_break_unix_ms));
    match (one.ended_unix_ms, &one.ended_by) {
        (Some(at), Some(by)) => row("ended", &format!("{} ({by})", rfc3339(at))),
        _ => row("ended", "not yet"),
    }
    if let (Some(at), Some(by)) = (one.well_since_unix_ms, &one.well_by) {
        row("well again", &format!("{} ({by})", rfc3339(at)));
    }
    row("lasted", &length(one.lasted_ms));
    row("breaks", &one.breaks.to_string());
    let first = &one.first;
    let said = [&first.phase, &first.certainty, &first.details];
    let said: Vec<_> = said.into_iter().flatten().map(String::as_str).collect();
    row("seen first", &said.join(", "));
    if let Some(call) = &first.call {
        row("", &format!("mainstay explain {call}"));
    }
    row("what it is", &format!("docs/breaks.md#{}", one.cause));
    if !detail.group.is_empty() {
        let others = detail.group.iter().map(|other| {
            format!("{} ({})", other.id, other.endpoint.as_deref().unwrap_or("no endpoint"))
        });
        row("together with", &others.collect::<Vec<_>>().join(", "));
        let calls = one.group_calls;
        row("", &format!("{} calls met any of them, {} failed", calls.met, calls.failed));
    }
    if !detail.changes.is_empty() {
        out.push_str("\nMeanwhile:\n");
        let rows: Vec<_> = detail.changes.iter().map(change).collect();
        out.push_str(&table(&rows));
    }
    if !detail.calls.is_empty() {
        out.push_str("\nCalls that met it, failed ones first:\n");
        let rows: Vec<_> = detail.calls.iter().map(call).collect();
        out.push_str(&table(&rows));
    }
    out
}

fn change(change: &Value) -> [String; 3] {
    let at = change["at_unix_ms"].as_u64().map(rfc3339).unwrap_or_default();
    let why = ["why", "code", "what", "who"].map(|name| change[name].as_str().unwrap_or_default());
    let why: Vec<_> = why.into_iter().filter(|word| !word.is_empty()).collect();
    [format!("  {at}"), word(&change["event"]), clean(&why.join(" "))]
}

fn call(call: &Value) -> [String; 4] {
    let outcome = match (call["failed"].as_bool(), call["saved"].as_str()) {
        (Some(true), _) => "failed".to_owned(),
        (_, Some(by)) => format!("saved by {by}"),
        _ => word(&call["outcome"]),
    };
    [format!("  {}", word(&call["id"])), outcome, word(&call["method"]), word(&call["path"])]
}

fn word(value: &Value) -> String {
    clean(value.as_str().unwrap_or_default())
}

/// Columns as wide as what is in them, numbers to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let is_number = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            let _ = match is_number {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:width$}  "),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A length of time in its two largest units.
fn length(millis: f64) -> String {
    let seconds = (millis / 1000.0).max(0.0);
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn incident(id: &str) -> Value {
        json!({
            "id": id, "group": "i1", "upstream": "api", "endpoint": "a", "cause": "connect-refused",
            "state": "ended", "began_unix_ms": 1_795_743_000_000_u64, "began_by": "breaker-opened",
            "last_break_unix_ms": 1_795_743_060_000_u64, "ended_unix_ms": 1_795_743_061_000_u64,
            "ended_by": "breaker-closed", "lasted_ms": 61_000.0, "breaks": 1300,
            "calls": { "met": 1284, "saved": 1280, "failed": 4, "left": 0 },
            "saved_by": { "retry": 0, "failover": 1280, "hedge": 0, "heal": 0 },
            "first": { "call": "dc590237fc156eeb", "at_unix_ms": 1_795_743_000_000_u64, "phase": "connect",
                       "certainty": "not-sent", "details": "refused\u{1b}[31m" },
            "summary": "api: endpoint a broke with connect-refused; 1,284 calls met it, 1,280 saved (1,280 by failover), 4 failed"
        })
    }

    #[test]
    fn a_list_has_a_line_for_each() {
        let list: Vec<Incident> =
            serde_json::from_value(json!([incident("i1"), incident("i12")])).unwrap_or_default();
        assert_eq!(
            super::list(&list),
            "\
ID   BEGAN                     LASTED  UPSTREAM  ENDPOINT  CAUSE            MET   SAVED  FAILED  ENDED BY
i1   2026-11-27T01:30:00.000Z  1m01s   api       a         connect-refused  1284   1280       4  breaker-closed
i12  2026-11-27T01:30:00.000Z  1m01s   api       a         connect-refused  1284   1280       4  breaker-closed
"
        );
    }

    #[test]
    fn one_is_told_in_full_and_no_control_character_passes() {
        let detail = serde_json::from_value(json!({
            "incident": incident("i1"), "group": [incident("i2")],
            "changes": [{ "at_unix_ms": 1_795_743_000_100_u64, "event": "breaker-opened", "why": "consecutive-failures" }],
            "calls": [{ "id": "dc590237fc156eeb", "failed": true, "method": "GET", "path": "/x" }],
        }));
        let text = detail.map(|detail: Detail| super::detail(&detail)).unwrap_or_default();
        for line in [
            "began        2026-11-27T01:30:00.000Z (breaker-opened)",
            "seen first   connect, not-sent, refused?[31m",
            "             mainstay explain dc590237fc156eeb",
            "together with i2 (a)",
            "  2026-11-27T01:30:00.100Z  breaker-opened  consecutive-failures",
            "  dc590237fc156eeb  failed  GET  /x",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        for (millis, text) in
            [(300.0, "0.3s"), (41_000.0, "41s"), (61_000.0, "1m01s"), (7_300_000.0, "2h01m")]
        {
            assert_eq!(length(millis), text);
        }
    }
}
