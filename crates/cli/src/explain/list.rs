//! The last broken calls, one line each.

use mainstay_record::{CallRecord, rfc3339};

use super::paper::{Ink, Paper};
use super::words::{milliseconds, outcome};

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
    format!(
        "{}  {}  {:>8}  {}  {}  {} {}\n",
        record.id,
        paper.ink(Ink::Faint, &rfc3339(record.started_unix_ms)),
        took,
        paper.ink(if good { Ink::Good } else { Ink::Bad }, &told),
        paper.clean(&breaks.join(" ")),
        paper.clean(&record.method),
        paper.clean(&record.path),
    )
}
