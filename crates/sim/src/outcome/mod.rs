//! What came of a run: counted as it goes, judged when it is over, in memory that doesn't grow with its length.

mod assertion;
mod histogram;
mod judge;
mod report;
mod series;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::event::Saved;
use mainstay_core::{BreakKind, Event, Timestamp};

pub use assertion::{Assertion, NoAssertion};
pub use histogram::Histogram;
pub use judge::{Masking, Recovery, Verdict};
pub use report::{Latency, Point, Report};
pub use series::{Bucket, Series};

/// What is counted.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) started: u64,
    pub(crate) good: u64,
    pub(crate) bad: u64,
    pub(crate) attempts: u64,
    /// Attempts that weren't the first.
    pub(crate) extra: u64,
    pub(crate) executed: u64,
    /// Writes that a server executed once more.
    pub(crate) duplicates: u64,
    pub(crate) saved_by_retry: u64,
    pub(crate) saved_by_failover: u64,
    pub(crate) saved_by_hedge: u64,
    pub(crate) latency: Histogram,
    pub(crate) series: Series,
    pub(crate) census: Census,
    pub(crate) violations: Violations,
}

impl Outcome {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            started: 0,
            good: 0,
            bad: 0,
            attempts: 0,
            extra: 0,
            executed: 0,
            duplicates: 0,
            saved_by_retry: 0,
            saved_by_failover: 0,
            saved_by_hedge: 0,
            latency: Histogram::new(LATENCY_BITS),
            series: Series::over(length),
            census: Census::default(),
            violations: Violations::default(),
        }
    }

    pub(crate) fn call_started(&mut self, now: Timestamp) {
        self.started += 1;
        if let Some(bucket) = self.series.at(now) {
            bucket.started += 1;
        }
    }

    pub(crate) fn executed(&mut self, again: bool, now: Timestamp) {
        self.executed += 1;
        self.duplicates += u64::from(again);
        if let Some(bucket) = self.series.at(now) {
            bucket.executed += 1;
        }
    }

    pub(crate) fn waiting(&mut self, waiting: usize, now: Timestamp) {
        if let Some(bucket) = self.series.at(now) {
            bucket.waiting = bucket.waiting.max(waiting as u64);
        }
    }

    /// A call is over; `took`: the time to its head, if all went well.
    pub(crate) fn call_ended(&mut self, took: Option<Duration>, now: Timestamp) {
        let bucket = self.series.at(now);
        let Some(took) = took else {
            self.bad += 1;
            if let Some(bucket) = bucket {
                bucket.bad += 1;
            }
            return;
        };
        self.good += 1;
        self.latency.add(took);
        if let Some(bucket) = bucket {
            bucket.good += 1;
            bucket.latency.add(took);
        }
    }

    pub(crate) fn event(&mut self, event: &Event, now: Timestamp) {
        self.census.event(event);
        match event {
            Event::AttemptStarted { attempt, .. } => {
                self.attempts += 1;
                self.extra += u64::from(attempt.0 > 1);
                if let Some(bucket) = self.series.at(now) {
                    bucket.attempts += 1;
                }
            }
            Event::CallDelivered { saved: Saved::ByRetry, as_is: false, .. } => {
                self.saved_by_retry += 1;
            }
            Event::CallDelivered { saved: Saved::ByFailover, as_is: false, .. } => {
                self.saved_by_failover += 1;
            }
            Event::CallDelivered { saved: Saved::ByHedge, as_is: false, .. } => {
                self.saved_by_hedge += 1;
            }
            _ => {}
        }
    }
}

/// Which events and breaks there were, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By the event's code.
    pub events: BTreeMap<&'static str, u64>,
    /// By the break's code: of attempts, of calls without an answer, of bodies.
    pub breaks: BTreeMap<&'static str, u64>,
}

impl Census {
    pub(crate) fn event(&mut self, event: &Event) {
        *self.events.entry(event.code()).or_default() += 1;
        match event {
            Event::AttemptFailed { what, .. } => self.broke(what.kind),
            Event::CallFailed { kind, .. }
            | Event::BodyFailed { kind, .. }
            | Event::EndpointUnhealthy { kind, .. } => self.broke(*kind),
            _ => {}
        }
    }

    fn broke(&mut self, kind: BreakKind) {
        *self.breaks.entry(kind.code()).or_default() += 1;
    }

    /// Takes another run's counts in.
    pub fn add(&mut self, other: &Self) {
        let pairs = [(&mut self.events, &other.events), (&mut self.breaks, &other.breaks)];
        for (ours, theirs) in pairs {
            theirs.iter().for_each(|(code, count)| *ours.entry(code).or_default() += count);
        }
    }
}

/// A rule that the engine, or its driver here, broke. There should never be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: String,
}

/// All of them are counted, the first few kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Violations {
    pub(crate) count: u64,
    pub(crate) first: Vec<Violation>,
}

impl Violations {
    #[cold]
    pub(crate) fn add(&mut self, at: Timestamp, what: String) {
        self.count += 1;
        if self.first.len() < VIOLATIONS_KEPT {
            self.first.push(Violation { at, what });
        }
    }
}

/// Whoever looks for the cause looks at the first ones.
const VIOLATIONS_KEPT: usize = 20;

/// Off by a sixty-fourth.
const LATENCY_BITS: u32 = 6;
