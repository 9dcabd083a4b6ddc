//! The table at the end.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;
use mainstay_lab::Lab;
use mainstay_lab::load::{CallResult, Ended, Summary};
use mainstay_record::{CallCounts, Recorder};
use serde::Serialize;

use super::script::Script;
use super::traffic::Side;
use super::verdict::{Check, checks};

/// What came of the demo.
#[derive(Serialize)]
pub(super) struct Report {
    version: u32,
    seconds: f64,
    breaks_on_the_timeline: usize,
    with: Seen,
    without: Seen,
    /// What Mainstay met, by break code.
    breaks_met: BTreeMap<String, u64>,
    calls: CallCounts,
    breakers_opened: u64,
    checks: Vec<Check>,
}

/// What the application saw on one side.
#[derive(Serialize)]
struct Seen {
    calls: u64,
    reads_failed: u64,
    writes_failed: u64,
    writes_twice: usize,
    received_per_call: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    failures: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(
        script: &Script,
        recorder: &Recorder,
        with: (&Side, &Lab),
        without: (&Side, &Lab),
    ) -> Self {
        let counts = recorder.counts();
        let endpoints = counts.upstreams.iter().flat_map(|upstream| &upstream.endpoints);
        Self {
            version: 1,
            seconds: script.length().as_secs_f64(),
            breaks_on_the_timeline: script.breaks(),
            breaks_met: counts
                .breaks()
                .into_iter()
                .map(|(code, count)| (code.into_owned(), count))
                .collect(),
            calls: counts.calls,
            breakers_opened: endpoints.flat_map(|endpoint| endpoint.breaker_opens.values()).sum(),
            checks: with.0.read(|results| checks(&counts, results, with.1.oracle())),
            with: Seen::new(with.0, with.1),
            without: Seen::new(without.0, without.1),
        }
    }

    /// Whether the oracle agrees with the records and the answers.
    pub(super) fn agrees(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }
}

impl Seen {
    fn new(side: &Side, lab: &Lab) -> Self {
        side.read(|results| {
            let mut summary = Summary::default();
            results.iter().for_each(|result| summary.add(result));
            let failed = |write: bool| {
                let of_kind =
                    results.iter().filter(|result| (result.method == Method::POST) == write);
                of_kind.filter(|result| !result.ended.is_good()).count() as u64
            };
            let times = summary.percentiles();
            let received: u64 =
                lab.oracle().snapshot().servers.values().map(|server| server.received).sum();
            let mut failures = BTreeMap::new();
            for result in results.iter().filter(|result| !result.ended.is_good()) {
                *failures.entry(why(result)).or_default() += 1;
            }
            Self {
                calls: summary.calls,
                reads_failed: failed(false),
                writes_failed: failed(true),
                writes_twice: lab.oracle().duplicates().len(),
                received_per_call: received as f64 / summary.calls.max(1) as f64,
                p50_ms: times.p50.as_secs_f64() * 1e3,
                p99_ms: times.p99.as_secs_f64() * 1e3,
                max_ms: times.max.as_secs_f64() * 1e3,
                failures,
            }
        })
    }
}

/// Why a call failed, as its application saw it.
fn why(result: &CallResult) -> String {
    let kind = if result.method == Method::POST { "write" } else { "read" };
    match (&result.problem, &result.ended) {
        (Some((code, certainty)), _) => format!("{kind}: {code}, {certainty}"),
        (None, Ended::Answered { status, .. }) => {
            format!("{kind}: the upstream's own {}", status.as_u16())
        }
        (None, Ended::NotConnected) => format!("{kind}: no connection"),
        (None, Ended::Broken) => format!("{kind}: connection broken"),
        (None, Ended::Incomplete) => format!("{kind}: body broken"),
        (None, Ended::TimedOut) => format!("{kind}: timed out"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (with, without) = (&self.with, &self.without);
        writeln!(f, "\n{:34}{:>14}{:>14}", "", "with Mainstay", "without")?;
        let mut row = |name: &str, ours: String, theirs: String| {
            writeln!(f, "{name:34}{ours:>14}{theirs:>14}")
        };
        row("calls", with.calls.to_string(), without.calls.to_string())?;
        row("reads failed", with.reads_failed.to_string(), without.reads_failed.to_string())?;
        row("writes failed", with.writes_failed.to_string(), without.writes_failed.to_string())?;
        row(
            "writes carried out twice",
            with.writes_twice.to_string(),
            without.writes_twice.to_string(),
        )?;
        row(
            "requests per call at the servers",
            format!("{:.3}", with.received_per_call),
            format!("{:.3}", without.received_per_call),
        )?;
        for (name, ours, theirs) in [
            ("p50", with.p50_ms, without.p50_ms),
            ("p99", with.p99_ms, without.p99_ms),
            ("slowest", with.max_ms, without.max_ms),
        ] {
            row(name, format!("{ours:.1} ms"), format!("{theirs:.1} ms"))?;
        }
        let calls = &self.calls;
        writeln!(
            f,
            "\nsaved by a retry {}, by failover {}; breakers opened {} times",
            calls.saved_by_retry, calls.saved_by_failover, self.breakers_opened
        )?;
        list(f, "breaks met", &self.breaks_met)?;
        list(f, "failed with Mainstay", &with.failures)?;
        list(f, "failed without", &without.failures)?;
        writeln!(f)?;
        for check in &self.checks {
            writeln!(
                f,
                "{}  {} ({})",
                if check.holds { "agrees   " } else { "DISAGREES" },
                check.what,
                check.found
            )?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    writeln!(f, "\n{title}:")?;
    if counts.is_empty() {
        writeln!(f, "  none")?;
    }
    counts.iter().try_for_each(|(what, count)| writeln!(f, "  {count:>6}  {what}"))
}
