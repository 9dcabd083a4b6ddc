//! Changes of state as rows: what a breaker does in an outage again and again is one of them. The dashboard folds the same way, by one
//! table of cases (`changes.json`).

use std::collections::HashMap;

use crate::top::told::Change;

/// Changes that are told as one, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// How often the endpoint was probed and its breaker opened again; 0 of a change that stands for itself.
    pub(crate) probes: u32,
}

impl Row {
    const fn of(place: usize) -> Self {
        Self { first: place, last: place, probes: 0 }
    }
}

/// What came last of an endpoint, as far as it may go on: places among the rows.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Probes that failed one after the other.
    probed: Option<usize>,
    /// Probes are let through, and how they end is still to come.
    half: Option<usize>,
}

/// Rows of changes with their places, the oldest first: probes that failed one after the other at an endpoint are one.
pub(crate) fn folded<'a>(changes: impl Iterator<Item = (usize, &'a Change)>) -> Vec<Row> {
    let mut rows: Vec<Option<Row>> = Vec::new();
    let mut runs: HashMap<_, Run> = HashMap::new();
    for (place, change) in changes {
        let next = rows.len();
        // An incident is told beside what it is about.
        if change.endpoint.is_none() || change.event.starts_with("incident-") {
            rows.push(Some(Row::of(place)));
            continue;
        }
        let run = runs.entry((change.upstream.as_deref(), change.endpoint.as_deref())).or_default();
        let failed =
            change.event == "breaker-opened" && change.why.as_deref() == Some("probe-failed");
        match (&*change.event, run.half.take()) {
            ("breaker-half-opened", _) => {
                run.half = Some(next);
                rows.push(Some(Row::of(place)));
            }
            (_, Some(half)) if failed => {
                let half = rows[half].take();
                let before = run.probed.and_then(|probed| rows[probed].take());
                let first = before.or(half).map_or(place, |row| row.first);
                let probes = before.map_or(0, |row| row.probes) + 1;
                run.probed = Some(next);
                rows.push(Some(Row { first, last: place, probes }));
            }
            _ => {
                run.probed = None;
                rows.push(Some(Row::of(place)));
            }
        }
    }
    rows.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both show, this and the dashboard, which its own test reads.
    const CASES: &str = include_str!("changes.json");

    #[derive(serde::Deserialize)]
    struct Case {
        what: String,
        changes: Vec<Change>,
        rows: Vec<(u64, u64, u32)>,
    }

    #[test]
    fn what_is_shown_is_what_the_table_says() {
        let cases: Vec<Case> = serde_json::from_str(CASES).expect("a table");
        assert!(cases.len() > 3, "{}", cases.len());
        for case in cases {
            let rows = folded(case.changes.iter().enumerate());
            let seq = |place: usize| case.changes[place].seq;
            let rows: Vec<_> =
                rows.iter().map(|row| (seq(row.first), seq(row.last), row.probes)).collect();
            assert_eq!(rows, case.rows, "{}", case.what);
        }
    }
}
