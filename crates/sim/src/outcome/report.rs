//! What is told of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::judge::{self, Masking, Recovery, Verdict};
use super::{Bucket, Census, Histogram, Outcome, Violation};
use crate::world::World;

/// A run, told. It serialises to the same bytes for the same world, policy and seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The world's name.
    pub world: String,
    /// The policy's name.
    pub policy: String,
    /// Where chance came from.
    pub seed: u64,
    /// For how long calls began.
    pub duration: Duration,
    /// Calls that began.
    pub calls: u64,
    /// Calls that got a good answer, whole.
    pub good: u64,
    /// Attempts, the first ones included.
    pub attempts: u64,
    /// Attempts that weren't a call's first.
    pub extra_attempts: u64,
    /// Requests that servers executed.
    pub executed: u64,
    /// Writes that were executed once more.
    pub duplicates: u64,
    /// Calls that another attempt at the same endpoint saved.
    pub saved_by_retry: u64,
    /// Calls that another endpoint saved.
    pub saved_by_failover: u64,
    /// Calls for which a hedge was faster.
    pub saved_by_hedge: u64,
    /// Of the calls that got a good answer, to its head.
    pub latency: Latency,
    /// All of these times, for other percentiles.
    pub times: Histogram,
    /// What it means.
    pub verdict: Verdict,
    /// The time that a point stands for.
    pub width: Duration,
    /// Over time.
    pub points: Vec<Point>,
    /// Which events and breaks there were.
    pub census: Census,
    /// Rules that were broken, and how often in all.
    pub violations: (u64, Vec<Violation>),
}

/// Percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half.
    pub p50: Duration,
    /// 99 %.
    pub p99: Duration,
    /// 99.9 %.
    pub p999: Duration,
}

/// What happened in a bucket of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Calls that began.
    pub started: u64,
    /// Calls that ended well.
    pub good: u64,
    /// Calls that ended otherwise.
    pub bad: u64,
    /// Attempts that were made.
    pub attempts: u64,
    /// Requests that servers executed.
    pub executed: u64,
    /// Most requests that waited at servers.
    pub waiting: u64,
    /// Of calls that ended well.
    pub latency: Latency,
}

impl Report {
    pub(crate) fn new(world: &World, policy: &str, outcome: &Outcome) -> Self {
        Self {
            world: world.name.clone(),
            policy: policy.to_owned(),
            seed: world.seed,
            duration: world.duration,
            calls: outcome.started,
            good: outcome.good,
            attempts: outcome.attempts,
            extra_attempts: outcome.extra,
            executed: outcome.executed,
            duplicates: outcome.duplicates,
            saved_by_retry: outcome.saved_by_retry,
            saved_by_failover: outcome.saved_by_failover,
            saved_by_hedge: outcome.saved_by_hedge,
            latency: Latency::of(&outcome.latency),
            times: outcome.latency.clone(),
            verdict: judge::judge(world, &outcome.series),
            width: outcome.series.width(),
            points: outcome.series.buckets().iter().map(Point::of).collect(),
            census: outcome.census.clone(),
            violations: (outcome.violations.count, outcome.violations.first.clone()),
        }
    }

    /// Calls in a hundred that got a good answer.
    #[must_use]
    pub fn success_percent(&self) -> f64 {
        self.good as f64 * 100.0 / self.calls.max(1) as f64
    }

    /// Attempts per call.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        self.attempts as f64 / self.calls.max(1) as f64
    }

    /// The longest time for which a fault was felt; `None` when one was felt to its end.
    #[must_use]
    pub fn time_to_mask(&self) -> Option<Duration> {
        let times = self.verdict.faults.iter().map(|(_, masking)| match masking {
            Masking::After(length) => Some(*length),
            Masking::Never => None,
        });
        times.collect::<Option<Vec<_>>>().map(|times| times.into_iter().max().unwrap_or_default())
    }

    /// The time to recover; `None` when it didn't, or can't be told.
    #[must_use]
    pub fn time_to_recover(&self) -> Option<Duration> {
        match self.verdict.recovery {
            Recovery::NotNeeded => Some(Duration::ZERO),
            Recovery::After(length) => Some(length),
            Recovery::Never | Recovery::Unknown => None,
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        let at = |millionths| histogram.percentile(millionths).unwrap_or_default();
        Self { p50: at(500_000), p99: at(990_000), p999: at(999_000) }
    }
}

impl Point {
    fn of(bucket: &Bucket) -> Self {
        Self {
            started: bucket.started,
            good: bucket.good,
            bad: bucket.bad,
            attempts: bucket.attempts,
            executed: bucket.executed,
            waiting: bucket.waiting,
            latency: Latency::of(&bucket.latency),
        }
    }
}

/// A length in milliseconds, exact to the microsecond: a division that IEEE 754 fixes, printed in its shortest form.
pub(crate) fn millis(length: Duration) -> f64 {
    length.as_micros() as f64 / 1e3
}

/// The form in which a report is written: numbers in milliseconds, `null` for never.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    world: &'a str,
    policy: &'a str,
    seed: u64,
    duration_ms: f64,
    calls: u64,
    good: u64,
    success_percent: f64,
    attempts: u64,
    extra_attempts: u64,
    amplification: f64,
    executed: u64,
    duplicates: u64,
    saved_by_retry: u64,
    saved_by_failover: u64,
    saved_by_hedge: u64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    faults: Vec<WrittenFault<'a>>,
    time_to_mask_ms: Option<f64>,
    recovery: &'static str,
    time_to_recover_ms: Option<f64>,
    metastable: bool,
    events: &'a BTreeMap<&'static str, u64>,
    breaks: &'a BTreeMap<&'static str, u64>,
    violations: u64,
    point_ms: f64,
    points: Vec<WrittenPoint>,
}

#[derive(Serialize)]
struct WrittenFault<'a> {
    what: &'a str,
    masked_after_ms: Option<f64>,
}

#[derive(Serialize)]
struct WrittenPoint {
    started: u64,
    good: u64,
    bad: u64,
    attempts: u64,
    executed: u64,
    waiting: u64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let faults = self.verdict.faults.iter().map(|(what, masking)| WrittenFault {
            what,
            masked_after_ms: match masking {
                Masking::After(length) => Some(millis(*length)),
                Masking::Never => None,
            },
        });
        let points = self.points.iter().map(|point| WrittenPoint {
            started: point.started,
            good: point.good,
            bad: point.bad,
            attempts: point.attempts,
            executed: point.executed,
            waiting: point.waiting,
            p50_ms: millis(point.latency.p50),
            p99_ms: millis(point.latency.p99),
        });
        let written = Written {
            version: 1,
            world: &self.world,
            policy: &self.policy,
            seed: self.seed,
            duration_ms: millis(self.duration),
            calls: self.calls,
            good: self.good,
            success_percent: self.success_percent(),
            attempts: self.attempts,
            extra_attempts: self.extra_attempts,
            amplification: self.amplification(),
            executed: self.executed,
            duplicates: self.duplicates,
            saved_by_retry: self.saved_by_retry,
            saved_by_failover: self.saved_by_failover,
            saved_by_hedge: self.saved_by_hedge,
            p50_ms: millis(self.latency.p50),
            p99_ms: millis(self.latency.p99),
            p999_ms: millis(self.latency.p999),
            faults: faults.collect(),
            time_to_mask_ms: self.time_to_mask().map(millis),
            recovery: self.verdict.recovery.word(),
            time_to_recover_ms: self.time_to_recover().map(millis),
            metastable: self.verdict.is_metastable,
            events: &self.census.events,
            breaks: &self.census.breaks,
            violations: self.violations.0,
            point_ms: millis(self.width),
            points: points.collect(),
        };
        written.serialize(serializer)
    }
}

impl Recovery {
    /// A stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotNeeded => "not-needed",
            Self::After(_) => "recovered",
            Self::Never => "never",
            Self::Unknown => "unknown",
        }
    }
}
