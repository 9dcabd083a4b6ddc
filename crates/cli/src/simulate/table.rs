//! What the terminal shows: a column for each policy.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mainstay_sim::outcome::{Assertion, Masking, Recovery};
use mainstay_sim::{Report, World, ready};

/// The results of a world.
pub(super) struct Table<'a> {
    pub(super) world: &'a World,
    pub(super) reports: &'a [Report],
}

/// The rows that compare.
pub(super) fn rows(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        ("calls", report.calls.to_string()),
        ("success", format!("{:.3} %", report.success_percent())),
        ("p50", time(report.latency.p50)),
        ("p99", time(report.latency.p99)),
        ("p99.9", time(report.latency.p999)),
        ("attempts per call", format!("{:.3}", report.amplification())),
        ("writes done twice", report.duplicates.to_string()),
        ("saved by a retry", report.saved_by_retry.to_string()),
        ("saved by failover", report.saved_by_failover.to_string()),
        ("saved by a hedge", report.saved_by_hedge.to_string()),
        ("time to mask", mask(report.time_to_mask())),
        ("time to recover", recovery(report.verdict.recovery)),
        ("metastable", if report.verdict.is_metastable { "YES" } else { "no" }.to_owned()),
    ]
}

/// The worlds that come along.
pub(super) fn list() {
    for ready in ready::WORLDS {
        // A test reads each of them.
        let about = World::parse(ready.text, None).map(|world| world.about).unwrap_or_default();
        println!("{:20}{about}", ready.name);
    }
}

/// Shows which assertions hold. Whether all do.
pub(super) fn assertions(assertions: &[Assertion], report: &Report) -> bool {
    let checked: Vec<_> = assertions.iter().map(|it| (it, it.check(report))).collect();
    for (assertion, (holds, found)) in &checked {
        println!("{}  {assertion} ({found})", if *holds { "holds" } else { "FAILS" });
    }
    checked.iter().all(|(_, (holds, _))| *holds)
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world;
        writeln!(f, "{}: {}", world.name, world.about)?;
        writeln!(
            f,
            "{:?}, proxies {}, endpoints {}, seed {}\n",
            world.duration,
            world.load.proxies,
            world.endpoints.len(),
            world.seed
        )?;
        write!(f, "{:20}", "")?;
        self.reports.iter().try_for_each(|report| write!(f, "{:>16}", report.policy))?;
        writeln!(f)?;
        let columns: Vec<_> = self.reports.iter().map(rows).collect();
        let names = columns.first().into_iter().flatten().map(|(name, _)| *name);
        for (place, name) in names.enumerate() {
            write!(f, "{name:20}")?;
            let values = columns.iter().filter_map(|column| column.get(place));
            values.into_iter().try_for_each(|(_, value)| write!(f, "{value:>16}"))?;
            writeln!(f)?;
        }
        for report in self.reports {
            self.details(report, f)?;
        }
        Ok(())
    }
}

impl Table<'_> {
    fn details(&self, report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reports.len() > 1 {
            writeln!(f, "\n-- {}", report.policy)?;
        } else {
            writeln!(f)?;
        }
        for (what, masking) in &report.verdict.faults {
            let felt = match masking {
                Masking::After(Duration::ZERO) => "not felt".to_owned(),
                Masking::After(length) => format!("masked after {}", time(*length)),
                Masking::Never => "felt to its end".to_owned(),
            };
            writeln!(f, "{what}: {felt}")?;
        }
        writeln!(f, "breaks met: {}", counts(&report.census.breaks, |_| true))?;
        let of_endpoints = |code: &str| code.starts_with("breaker") || code.starts_with("endpoint");
        writeln!(f, "endpoints: {}", counts(&report.census.events, of_endpoints))
    }
}

fn counts(counts: &BTreeMap<&'static str, u64>, which: impl Fn(&str) -> bool) -> String {
    let shown = counts.iter().filter(|(code, _)| which(code));
    let shown: Vec<_> = shown.map(|(code, count)| format!("{code} {count}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// A length as people read it: whole seconds don't need milliseconds.
pub(super) fn time(length: Duration) -> String {
    if length >= Duration::from_secs(1) {
        format!("{:.1} s", length.as_secs_f64())
    } else {
        format!("{:.1} ms", length.as_secs_f64() * 1e3)
    }
}

pub(super) fn mask(length: Option<Duration>) -> String {
    match length {
        Some(Duration::ZERO) => "not felt".to_owned(),
        Some(length) => time(length),
        None => "never".to_owned(),
    }
}

pub(super) fn recovery(recovery: Recovery) -> String {
    match recovery {
        Recovery::NotNeeded => "nothing broke".to_owned(),
        Recovery::After(Duration::ZERO) => "at once".to_owned(),
        Recovery::After(length) => time(length),
        Recovery::Never => "never".to_owned(),
        Recovery::Unknown => "too early to say".to_owned(),
    }
}
