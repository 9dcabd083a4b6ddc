//! All counts as plain numbers: for the status page, the demo's last table, and checks that compare.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::event::{AttemptReason, Saved};
use serde::{Deserialize, Serialize};

use crate::counters::{EndpointSums, PASSED, Sums, UpstreamSums};
use crate::label::{Change, Label};

/// Counts by a code; codes that were never counted are left out.
pub type ByCode = BTreeMap<Cow<'static, str>, u64>;

/// Everything that was counted in the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The calls of all upstreams.
    pub calls: CallCounts,
    /// Each upstream's part, by name.
    pub upstreams: Vec<UpstreamCounts>,
    /// Lines of the log that were dropped.
    pub log_lines_dropped: u64,
    /// Items of the feed that slow readers lost.
    pub feed_items_lost: u64,
}

/// What became of calls. `started` = `delivered` + `failed` + `in_progress`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Calls that began.
    pub started: u64,
    /// Calls whose application got an answer of the upstream, `as_is` included.
    pub delivered: u64,
    /// Those of them whose answer is a broken attempt's own.
    pub as_is: u64,
    /// Calls whose application got none.
    pub failed: u64,
    /// Calls that have neither yet. Calls that begin while the counters are read are in here too.
    pub in_progress: u64,
    /// Good answers that a retry brought.
    pub saved_by_retry: u64,
    /// Good answers that came from another endpoint than the one that broke.
    pub saved_by_failover: u64,
    /// Good answers that a second attempt beside the first brought.
    #[serde(default)]
    pub saved_by_hedge: u64,
    /// Delivered answers whose body broke and came whole all the same.
    #[serde(default)]
    pub healed: u64,
    /// Delivered answers whose body broke and ended as visibly broken.
    #[serde(default)]
    pub cut: u64,
    /// Attempts of all calls.
    pub attempts: u64,
    /// Calls that are over, their bodies included: as many as started, once all is quiet.
    pub records: u64,
    /// Those of them in which something broke.
    pub broken: u64,
}

/// An upstream's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamCounts {
    /// Its name.
    pub name: Arc<str>,
    /// Its calls.
    pub calls: CallCounts,
    /// Failed calls, by the code of what broke last.
    pub failures: ByCode,
    /// Failed calls, by how far the request may have got.
    pub certainties: ByCode,
    /// Why nothing more was tried.
    pub retries_refused: ByCode,
    /// Retries that were put off, by what decided for how long.
    pub retries_scheduled: ByCode,
    /// Second attempts beside the first.
    #[serde(default)]
    pub hedges: HedgeCounts,
    /// Attempts that had to wait before they started, by what for.
    #[serde(default)]
    pub held: ByCode,
    /// Calls that were refused before their first attempt, by why.
    #[serde(default)]
    pub shed: ByCode,
    /// Calls whose application got something in place of an answer, by what.
    #[serde(default)]
    pub degraded: ByCode,
    /// Incidents that began, by the code of what broke.
    #[serde(default)]
    pub incidents: ByCode,
    /// Calls whose request body couldn't be sent again.
    pub bodies_unrepeatable: u64,
    /// Each endpoint's part.
    pub endpoints: Vec<EndpointCounts>,
}

/// What became of hedges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HedgeCounts {
    /// Those that were made.
    pub launched: u64,
    /// Those of them that brought the answer.
    pub won: u64,
    /// Those that didn't, as far as their calls have ended: load for nothing.
    pub wasted: u64,
    /// Those that were due and not made, by why.
    pub refused: ByCode,
}

/// An endpoint's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCounts {
    /// Its name.
    pub name: Arc<str>,
    /// Attempts.
    pub attempts: u64,
    /// Those that were made beside another one that was out.
    #[serde(default)]
    pub hedges: u64,
    /// Those that were stopped, since the other one was faster.
    #[serde(default)]
    pub outrun: u64,
    /// Those that were retries.
    pub retries: u64,
    /// Those that came from another endpoint.
    pub failovers: u64,
    /// Attempts with an answer worth delivering.
    pub answered: u64,
    /// Attempts that broke.
    pub broke: u64,
    /// The same, by the code of the break.
    pub breaks: ByCode,
    /// Bodies of delivered answers that broke.
    pub body_failures: ByCode,
    /// How often its breaker opened, by cause.
    pub breaker_opens: ByCode,
    /// How often it was ejected, by cause.
    pub ejections: ByCode,
    /// Active checks, by result: `passed`, or the code of the break.
    #[serde(default)]
    pub checks: ByCode,
    /// Other events, by their code: `failed-open`, `endpoint-throttled`, and so on.
    pub changes: ByCode,
}

impl Counts {
    pub(crate) fn new(all: &[UpstreamSums], log_lines_dropped: u64, feed_items_lost: u64) -> Self {
        let upstreams: Vec<_> = all.iter().map(UpstreamCounts::new).collect();
        let calls = upstreams.iter().map(|upstream| upstream.calls);
        let calls = calls.fold(CallCounts::default(), CallCounts::plus);
        Self { calls, upstreams, log_lines_dropped, feed_items_lost }
    }

    /// Breaks of all endpoints, by code.
    #[must_use]
    pub fn breaks(&self) -> ByCode {
        let mut all = ByCode::new();
        let endpoints = self.upstreams.iter().flat_map(|upstream| &upstream.endpoints);
        for (code, count) in endpoints.flat_map(|endpoint| &endpoint.breaks) {
            *all.entry(code.clone()).or_default() += count;
        }
        all
    }

    /// The part of the upstream with this name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&UpstreamCounts> {
        self.upstreams.iter().find(|upstream| &*upstream.name == name)
    }
}

impl CallCounts {
    fn new(sums: &UpstreamSums) -> Self {
        let as_is = sums.as_is.count();
        let delivered = sums.delivered.count() + as_is;
        let in_progress = sums.in_progress();
        Self {
            // Not `sums.started`: a call that began and ended while the counters were read may be in one sum alone.
            started: delivered + sums.failed.count() + in_progress,
            delivered,
            as_is,
            failed: sums.failed.count(),
            in_progress,
            saved_by_retry: sums.saved.of(Saved::ByRetry),
            saved_by_failover: sums.saved.of(Saved::ByFailover),
            saved_by_hedge: sums.saved.of(Saved::ByHedge),
            healed: sums.healed,
            cut: sums.cut.total(),
            attempts: sums.attempts,
            records: sums.over,
            broken: sums.broken,
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            started: self.started + other.started,
            delivered: self.delivered + other.delivered,
            as_is: self.as_is + other.as_is,
            failed: self.failed + other.failed,
            in_progress: self.in_progress + other.in_progress,
            saved_by_retry: self.saved_by_retry + other.saved_by_retry,
            saved_by_failover: self.saved_by_failover + other.saved_by_failover,
            saved_by_hedge: self.saved_by_hedge + other.saved_by_hedge,
            healed: self.healed + other.healed,
            cut: self.cut + other.cut,
            attempts: self.attempts + other.attempts,
            records: self.records + other.records,
            broken: self.broken + other.broken,
        }
    }
}

impl UpstreamCounts {
    fn new(sums: &UpstreamSums) -> Self {
        let mut failures = ByCode::new();
        let mut certainties = ByCode::new();
        for (certainty, kinds) in mainstay_core::Certainty::ALL.iter().zip(&sums.failures) {
            for (kind, count) in kinds.seen() {
                *failures.entry(kind.code().into()).or_default() += count;
                *certainties.entry(certainty.code().into()).or_default() += count;
            }
        }
        Self {
            name: Arc::clone(&sums.name),
            calls: CallCounts::new(sums),
            failures,
            certainties,
            retries_refused: by_code(&sums.stops),
            retries_scheduled: by_code(&sums.delays),
            hedges: HedgeCounts {
                launched: sums.hedges(),
                won: sums.saved.of(Saved::ByHedge),
                wasted: sums.hedges_wasted(),
                refused: by_code(&sums.hedges_refused),
            },
            held: by_code(&sums.held),
            shed: by_code(&sums.shed),
            degraded: by_code(&sums.degraded),
            incidents: by_code(&sums.incidents),
            bodies_unrepeatable: sums.unrepeatable,
            endpoints: sums.endpoints.iter().map(EndpointCounts::new).collect(),
        }
    }
}

impl EndpointCounts {
    fn new((name, sums): &(Arc<str>, EndpointSums)) -> Self {
        Self {
            name: Arc::clone(name),
            attempts: sums.started.total(),
            hedges: sums.started.of(AttemptReason::Hedge),
            outrun: sums.outrun,
            retries: sums.started.of(AttemptReason::Retry),
            failovers: sums.started.of(AttemptReason::Failover),
            answered: sums.answered.count(),
            broke: sums.breaks.total(),
            breaks: by_code(&sums.breaks),
            body_failures: by_code(&sums.bodies),
            breaker_opens: by_code(&sums.opens),
            ejections: by_code(&sums.ejects),
            checks: checks(sums),
            changes: by_code::<Change, _>(&sums.changes),
        }
    }
}

fn checks(sums: &EndpointSums) -> ByCode {
    let mut checks = by_code(&sums.checks_failed);
    if sums.checks_passed > 0 {
        checks.insert(PASSED.into(), sums.checks_passed);
    }
    checks
}

fn by_code<L: Label, const N: usize>(sums: &Sums<L, N>) -> ByCode {
    sums.seen().map(|(label, count)| (label.code().into(), count)).collect()
}
