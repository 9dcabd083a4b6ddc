//! What is counted for an endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::breaks::BreakKind;
use mainstay_core::event::{AttemptReason, EjectCause, OpenCause};
use parking_lot::{Mutex, MutexGuard};

use super::exemplar::{Exemplar, KeyedExemplars};
use super::histogram::{Histogram, HistogramSums};
use super::shard::Sharded;
use super::tally::{Sums, Tally};
use crate::history::{EndpointPart, EndpointPast};
use crate::label::{Change, Label};

/// The result of a check that passed; one that failed has the code of its break.
pub(crate) const PASSED: &str = "passed";

const KINDS: usize = BreakKind::ALL.len();
const REASONS: usize = <AttemptReason as Label>::ALL.len();
const OPENS: usize = <OpenCause as Label>::ALL.len();
const EJECTS: usize = <EjectCause as Label>::ALL.len();
const CHANGES: usize = <Change as Label>::ALL.len();

/// The counters of one endpoint.
#[derive(Debug)]
pub(crate) struct EndpointCounters {
    name: Arc<str>,
    hot: Sharded<Attempts>,
    breaks: Tally<BreakKind, KINDS>,
    bodies: Tally<BreakKind, KINDS>,
    opens: Tally<OpenCause, OPENS>,
    ejects: Tally<EjectCause, EJECTS>,
    checks_passed: AtomicU64,
    checks_failed: Tally<BreakKind, KINDS>,
    changes: Tally<Change, CHANGES>,
    outrun: AtomicU64,
    resumed: AtomicU64,
    uploads_resumed: AtomicU64,
    past: Mutex<Option<Box<EndpointPast>>>,
    /// Whether it had a past before, so that what was counted until now isn't of the one that begins.
    had_past: AtomicBool,
    /// Of breaks, by the place of their kind.
    examples: KeyedExemplars<usize>,
}

/// What each attempt counts.
#[derive(Debug, Default)]
struct Attempts {
    started: Tally<AttemptReason, REASONS>,
    answered: Histogram,
}

/// What [`EndpointCounters`] held when they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointSums {
    /// Attempts, by why they were made.
    pub(crate) started: Sums<AttemptReason, REASONS>,
    /// Attempts with an answer worth delivering, by their time to the head.
    pub(crate) answered: HistogramSums,
    /// Attempts that were stopped, since the other one was faster.
    pub(crate) outrun: u64,
    /// Broken bodies that it went on with.
    pub(crate) resumed: u64,
    /// Uploads that broke and went on there.
    pub(crate) uploads_resumed: u64,
    /// Attempts that broke.
    pub(crate) breaks: Sums<BreakKind, KINDS>,
    /// Bodies of delivered answers that broke.
    pub(crate) bodies: Sums<BreakKind, KINDS>,
    /// How often its breaker opened.
    pub(crate) opens: Sums<OpenCause, OPENS>,
    /// How often it was ejected.
    pub(crate) ejects: Sums<EjectCause, EJECTS>,
    /// Active checks that passed.
    pub(crate) checks_passed: u64,
    /// Those that failed.
    pub(crate) checks_failed: Sums<BreakKind, KINDS>,
    /// What else became of it.
    pub(crate) changes: Sums<Change, CHANGES>,
    /// Examples of breaks, by the place of their kind.
    pub(crate) examples: BTreeMap<usize, Exemplar>,
}

/// The little of it that is read all the time.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    /// Attempts that began.
    pub(crate) attempts: u64,
    /// Attempts with an answer worth delivering.
    pub(crate) answered: u64,
    /// Attempts, and bodies of delivered answers, that broke. Wraps.
    breaks: [u32; KINDS],
}

impl Default for Pulse {
    fn default() -> Self {
        Self { attempts: 0, answered: 0, breaks: [0; KINDS] }
    }
}

impl Pulse {
    /// All that broke.
    pub(crate) fn broke(&self) -> u64 {
        self.breaks.iter().map(|count| u64::from(*count)).sum()
    }

    /// What was counted since `before`.
    pub(crate) fn since(&self, before: &Self) -> EndpointPart {
        let kinds = BreakKind::ALL.into_iter().zip(self.breaks.iter().zip(&before.breaks));
        EndpointPart {
            attempts: self.attempts.saturating_sub(before.attempts),
            answered: self.answered.saturating_sub(before.answered),
            breaks: kinds
                .map(|(kind, (now, before))| (kind, u64::from(now.wrapping_sub(*before))))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

impl EndpointCounters {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            hot: Sharded::default(),
            breaks: Tally::default(),
            bodies: Tally::default(),
            opens: Tally::default(),
            ejects: Tally::default(),
            checks_passed: AtomicU64::new(0),
            checks_failed: Tally::default(),
            changes: Tally::default(),
            outrun: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            uploads_resumed: AtomicU64::new(0),
            past: Mutex::new(None),
            had_past: AtomicBool::new(false),
            examples: KeyedExemplars::default(),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn on_started(&self, reason: AttemptReason) {
        self.hot.mine().started.count(reason);
    }

    pub(crate) fn on_answered(&self, took: Duration) {
        self.hot.mine().answered.observe(took);
    }

    pub(crate) fn on_outrun(&self) {
        self.outrun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_upload_resumed(&self) {
        self.uploads_resumed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_broke(&self, kind: BreakKind) {
        self.breaks.count(kind);
    }

    /// Keeps a call as an example of a break that was counted.
    pub(crate) fn keep_example(&self, kind: BreakKind, exemplar: Exemplar) {
        self.examples.keep(kind.place(), exemplar);
    }

    pub(crate) fn on_body_broke(&self, kind: BreakKind) {
        self.bodies.count(kind);
    }

    pub(crate) fn on_opened(&self, cause: OpenCause) {
        self.opens.count(cause);
    }

    pub(crate) fn on_ejected(&self, cause: EjectCause) {
        self.ejects.count(cause);
    }

    pub(crate) fn on_check(&self, outcome: Result<(), BreakKind>) {
        match outcome {
            Ok(()) => {
                self.checks_passed.fetch_add(1, Ordering::Relaxed);
            }
            Err(kind) => self.checks_failed.count(kind),
        }
    }

    pub(crate) fn on_change(&self, change: Change) {
        self.changes.count(change);
    }

    /// What is kept of its last hour; nothing until it is looked at.
    pub(crate) fn past(&self) -> MutexGuard<'_, Option<Box<EndpointPast>>> {
        self.past.lock()
    }

    /// A past that begins now, or with the counters.
    pub(crate) fn new_past(&self) -> Box<EndpointPast> {
        let begun = self.had_past.swap(true, Ordering::Relaxed).then(|| self.pulse());
        Box::new(EndpointPast::from(begun.unwrap_or_default()))
    }

    /// What is read all the time.
    pub(crate) fn pulse(&self) -> Pulse {
        let mut pulse = Pulse::default();
        for (kept, kind) in pulse.breaks.iter_mut().zip(BreakKind::ALL) {
            // Differences are what matters, and they don't mind that it wraps.
            *kept = self.breaks.of(kind).wrapping_add(self.bodies.of(kind)) as u32;
        }
        for shard in self.hot.iter() {
            pulse.answered += shard.answered.count();
        }
        // Starts are read after ends, so that no more are seen to end than to start.
        for shard in self.hot.iter() {
            pulse.attempts += shard.started.total();
        }
        pulse
    }

    /// Everything that was counted until now.
    pub(crate) fn sums(&self) -> EndpointSums {
        let mut sums = EndpointSums {
            breaks: self.breaks.sums(),
            bodies: self.bodies.sums(),
            opens: self.opens.sums(),
            ejects: self.ejects.sums(),
            checks_passed: self.checks_passed.load(Ordering::Relaxed),
            checks_failed: self.checks_failed.sums(),
            changes: self.changes.sums(),
            outrun: self.outrun.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
            uploads_resumed: self.uploads_resumed.load(Ordering::Relaxed),
            examples: self.examples.all(),
            ..EndpointSums::default()
        };
        for shard in self.hot.iter() {
            shard.answered.add_to(&mut sums.answered);
        }
        // Starts are read after ends, so that no more are seen to end than to start.
        for shard in self.hot.iter() {
            shard.started.add_to(&mut sums.started);
        }
        sums
    }

    /// Adds the counts of an endpoint that is forgotten.
    pub(crate) fn absorb(&self, gone: &EndpointSums) {
        let hot = self.hot.mine();
        hot.started.absorb(&gone.started);
        hot.answered.absorb(&gone.answered);
        self.breaks.absorb(&gone.breaks);
        self.bodies.absorb(&gone.bodies);
        self.opens.absorb(&gone.opens);
        self.ejects.absorb(&gone.ejects);
        self.checks_passed.fetch_add(gone.checks_passed, Ordering::Relaxed);
        self.checks_failed.absorb(&gone.checks_failed);
        self.changes.absorb(&gone.changes);
        self.outrun.fetch_add(gone.outrun, Ordering::Relaxed);
        self.resumed.fetch_add(gone.resumed, Ordering::Relaxed);
        self.uploads_resumed.fetch_add(gone.uploads_resumed, Ordering::Relaxed);
    }
}

impl EndpointSums {
    /// Whether anything was ever counted.
    pub(crate) fn is_empty(&self) -> bool {
        let counted = [
            self.started.total(),
            self.answered.count(),
            self.breaks.total(),
            self.bodies.total(),
            self.opens.total(),
            self.ejects.total(),
            self.checks_passed,
            self.checks_failed.total(),
            self.changes.total(),
            self.outrun,
            self.resumed,
            self.uploads_resumed,
        ];
        counted.iter().all(|count| *count == 0)
    }
}
