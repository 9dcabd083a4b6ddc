//! The last broken calls, one line each where the paper is wide enough.

use mainstay_record::{CallRecord, rfc3339};

use super::words::{milliseconds, outcome};
use crate::paper::{Ink, Paper};

pub(super) fn lines(records: &[CallRecord], paper: &Paper) -> String {
    records.iter().map(|record| line(record, paper)).collect()
}

fn line(record: &CallRecord, paper: &Paper) -> String {
    let breaks = record.attempts.iter().filter_map(|attempt| {
        attempt.code.as_ref().map(|code| format!("{}:{code}", attempt.endpoint))
    });
    let body = record.body_broke.iter().map(|code| format!("body:{code}"));
    let ours = record.code.iter().filter(|_| record.attempts.is_empty()).map(ToString::to_string);
    let breaks: Vec<_> = breaks.chain(body).chain(ours).collect();
    let took = record.took_ms.map(milliseconds).unwrap_or_default();
    let (good, told) = outcome(record);
    let asked = format!("  {} {}", record.method, record.path);
    paper.flow(
        INDENT,
        &[
            (None, &record.id.to_string()),
            (Some(Ink::Faint), &format!("  {}", rfc3339(record.started_unix_ms))),
            (None, &format!("  {took:>8}  ")),
            (Some(if good { Ink::Good } else { Ink::Bad }), &told),
            (None, &format!("  {}", breaks.join(" "))),
            (None, &asked),
        ],
    )
}

/// Where a line goes on that is wider than the paper, so that ids stand out.
const INDENT: usize = 4;
