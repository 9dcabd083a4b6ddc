//! What has to hold after all of it.

use std::fmt::Write as _;

use crate::traffic::Tally;
use crate::watch::{Lap, Sample};

/// Everything that was seen.
pub(crate) struct Soaked {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) breaks: u64,
    pub(crate) tally: Tally,
    pub(crate) samples: Vec<Sample>,
    pub(crate) laps: Vec<Lap>,
    pub(crate) at_rest: Sample,
}

impl Soaked {
    pub(crate) fn wrong(&self) -> Result<(), String> {
        let total = self.tally.total();
        let mut wrong = Vec::new();
        for (what, count) in [
            ("answers were wrong", total.wrong),
            ("calls were stuck", total.stuck),
            ("writes were doubled", self.tally.doubled.len() as u64),
            ("writes were answered and never done", self.tally.lost.len() as u64),
        ] {
            if count > 0 {
                wrong.push(format!("{count} {what}"));
            }
        }
        if total.good * 100 < total.calls * LEAST_GOOD_PERCENT {
            wrong.push(format!("only {} of {} calls were good", total.good, total.calls));
        }
        for (kind, counts) in &self.tally.kinds {
            if counts.good == 0 {
                wrong.push(format!("no call of {kind} was good"));
            }
        }
        for (what, of, slack) in HELD {
            if let Some((early, late)) = self.drift(*of)
                && late > early * MOST_GROWTH + slack
            {
                wrong.push(format!("{what} grew from {early:.0} to {late:.0}"));
            }
        }
        let first = self.samples.first().copied().unwrap_or_default();
        if self.at_rest.descriptors > first.descriptors + MOST_KEPT {
            let (before, after) = (first.descriptors, self.at_rest.descriptors);
            wrong.push(format!("{after} descriptors are open at rest, {before} at the start"));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let tally = &self.tally;
        Err(format!("seed {}: {wrong:#?}\n{:?}\n{:?}", self.seed, tally.doubled, tally.lost))
    }

    /// The median of the second quarter and that of the last; nothing of a run that is too short to say.
    fn drift(&self, of: fn(&Sample) -> f64) -> Option<(f64, f64)> {
        if self.seconds < LEAST_SECONDS {
            return None;
        }
        let quarter = self.samples.len() / 4;
        let median = |samples: &[Sample]| {
            let mut values: Vec<f64> = samples.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let early = median(self.samples.get(quarter..2 * quarter)?)?;
        Some((early, median(self.samples.get(3 * quarter..)?)?))
    }

    /// The figures, as Markdown.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!(
            "seed {}, {:.0} s, {} breaks\n\n| traffic | calls | good | visibly broken | wrong | stuck |\n|---|---|---|---|---|---|\n",
            self.seed, self.seconds, self.breaks
        );
        let total = self.tally.total();
        let kinds = self.tally.kinds.iter().map(|(kind, counts)| (*kind, *counts));
        for (kind, counts) in kinds.chain([("all", total)]) {
            _ = writeln!(
                text,
                "| {kind} | {} | {} ({:.1} %) | {} | {} | {} |",
                counts.calls,
                counts.good,
                100.0 * counts.good as f64 / counts.calls.max(1) as f64,
                counts.bad,
                counts.wrong,
                counts.stuck
            );
        }
        _ = writeln!(
            text,
            "\nWrites doubled: {}, lost: {}. Calls: p50 {:.0} ms, p99 {:.0} ms, longest {:.1} s.\n\n\
             | held by the proxy | second quarter | last quarter | most | at rest |\n|---|---|---|---|---|",
            self.tally.doubled.len(),
            self.tally.lost.len(),
            self.tally.percentile(500).as_secs_f64() * 1e3,
            self.tally.percentile(990).as_secs_f64() * 1e3,
            self.tally.percentile(1000).as_secs_f64(),
        );
        for (what, of, _) in HELD {
            let most = self.samples.iter().map(of).fold(0.0, f64::max);
            let (early, late) = match self.drift(*of) {
                Some((early, late)) => (format!("{early:.0}"), format!("{late:.0}")),
                None => ("-".to_owned(), "-".to_owned()),
            };
            _ = writeln!(
                text,
                "| {what} | {early} | {late} | {most:.0} | {:.0} |",
                of(&self.at_rest)
            );
        }
        text
    }
}

/// What mustn't grow: its name, its value, and what it may differ by in any case.
pub(crate) type Held = (&'static str, fn(&Sample) -> f64, f64);

pub(crate) const HELD: &[Held] = &[
    ("memory, MiB", |sample| sample.memory_kib as f64 / 1024.0, 8.0),
    ("file descriptors", |sample| sample.descriptors as f64, 40.0),
    ("threads", |sample| sample.threads as f64, 0.0),
    ("connections of applications", |sample| sample.connections as f64, 40.0),
    ("calls in progress", |sample| sample.calls as f64, 40.0),
];

/// What an allocator and chance may do.
const MOST_GROWTH: f64 = 1.1;
/// Below it, caches and records still fill.
const LEAST_SECONDS: f64 = 120.0;
/// Kept connections to servers, at rest.
const MOST_KEPT: u64 = 100;
/// Servers break most of the time, and some kinds of break can't be made good.
const LEAST_GOOD_PERCENT: u64 = 85;
