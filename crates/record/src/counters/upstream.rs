//! What is counted for an upstream: its calls, and the list of its endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::breaks::BreakKind;
use mainstay_core::call::HedgeRefusal;
use mainstay_core::event::{AttemptReason, DegradedBy, Held, Saved, StopReason};
use mainstay_core::heal::NotHealed;
use mainstay_core::heal::socket::{TunnelCounts, TunnelEnd};
use mainstay_core::{Certainty, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use super::amplification::{Amplification, Sample};
use super::endpoint::{EndpointCounters, EndpointSums};
use super::exemplar::{BucketExemplars, Exemplar, KeyedExemplars};
use super::histogram::{BUCKETS, Histogram, HistogramSums};
use super::shard::Sharded;
use super::tally::{Sums, Tally};
use crate::history::{CallPart, UpstreamPast};
use crate::label::{Cut, Delay, Label, Outcome};

const KINDS: usize = BreakKind::ALL.len();
const CERTAINTIES: usize = <Certainty as Label>::ALL.len();
const STOPS: usize = <StopReason as Label>::ALL.len();
const SAVES: usize = <Saved as Label>::ALL.len();
const HEDGES: usize = <HedgeRefusal as Label>::ALL.len();
const HELDS: usize = <Held as Label>::ALL.len();
const DEGRADES: usize = <DegradedBy as Label>::ALL.len();
const CUTS: usize = <Cut as Label>::ALL.len();
const TUNNEL_ENDS: usize = <TunnelEnd as Label>::ALL.len();
const OUTCOMES: usize = <Outcome as Label>::ALL.len();
const DELAYS: usize = <Delay as Label>::ALL.len();

/// Endpoints that are remembered: twice as many as an upstream may have, so that a reload may replace them all.
const ENDPOINTS_KEPT: usize = 2000;

/// What counts for endpoints that aren't in the list, or aren't any more.
pub(crate) const OTHER: &str = "other";

/// The counters of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamCounters {
    name: Arc<str>,
    hot: Sharded<Calls>,
    as_is: Histogram,
    failed: Histogram,
    saved: Tally<Saved, SAVES>,
    failures: [Tally<BreakKind, KINDS>; CERTAINTIES],
    stops: Tally<StopReason, STOPS>,
    delays: Tally<Delay, DELAYS>,
    hedges_refused: Tally<HedgeRefusal, HEDGES>,
    held: Tally<Held, HELDS>,
    /// Waits for an open breaker that ended with an attempt, and without one.
    breaker_passed: Histogram,
    breaker_ended: Histogram,
    shed: Tally<StopReason, STOPS>,
    degraded: Tally<DegradedBy, DEGRADES>,
    incidents: Tally<BreakKind, KINDS>,
    cut: Tally<Cut, CUTS>,
    uploads_not_resumed: Tally<Cut, CUTS>,
    tunnels: Tally<TunnelEnd, TUNNEL_ENDS>,
    rare: Rare,
    amplification: Amplification,
    endpoints: Mutex<Vec<Arc<EndpointCounters>>>,
    other: Arc<EndpointCounters>,
    past: Mutex<Option<Box<UpstreamPast>>>,
    /// Whether it had a past before, so that what was counted until now isn't of the one that begins.
    had_past: AtomicBool,
    examples: Examples,
}

/// The little of it that is read all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallPulse {
    pub(crate) part: CallPart,
    pub(crate) in_progress: u64,
}

/// Calls that stand for what was counted.
#[derive(Debug, Default)]
struct Examples {
    /// Of lengths, by the place of the outcome.
    durations: [BucketExemplars; OUTCOMES],
    /// Of failures, by the places of certainty and kind.
    failures: KeyedExemplars<(usize, usize)>,
}

/// What [`Examples`] held when they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExampleSums {
    pub(crate) durations: [[Option<Exemplar>; BUCKETS]; OUTCOMES],
    pub(crate) failures: BTreeMap<(usize, usize), Exemplar>,
}

/// What each call counts.
#[derive(Debug, Default)]
struct Calls {
    started: AtomicU64,
    attempts: AtomicU64,
    over: AtomicU64,
    delivered: Histogram,
}

#[derive(Debug, Default)]
struct Rare {
    unrepeatable: AtomicU64,
    healed: AtomicU64,
    broken: AtomicU64,
    trace_dropped: AtomicU64,
    tunnel_sent: AtomicU64,
    tunnel_received: AtomicU64,
    tunnel_pings: AtomicU64,
    tunnels_reopened: AtomicU64,
}

/// What [`UpstreamCounters`] held when they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamSums {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Calls that began.
    pub(crate) started: u64,
    /// Attempts of all endpoints.
    pub(crate) attempts: u64,
    /// Calls that are over, their bodies too.
    pub(crate) over: u64,
    /// Calls with a good answer, by the time to its head.
    pub(crate) delivered: HistogramSums,
    /// Calls with a broken attempt's own answer.
    pub(crate) as_is: HistogramSums,
    /// Calls without an answer.
    pub(crate) failed: HistogramSums,
    /// Good answers that were not the first attempt's.
    pub(crate) saved: Sums<Saved, SAVES>,
    /// Why calls had no answer, by the certainty's place.
    pub(crate) failures: [Sums<BreakKind, KINDS>; CERTAINTIES],
    /// Why nothing more was tried.
    pub(crate) stops: Sums<StopReason, STOPS>,
    /// What retries waited for.
    pub(crate) delays: Sums<Delay, DELAYS>,
    /// Hedges that were due and not made.
    pub(crate) hedges_refused: Sums<HedgeRefusal, HEDGES>,
    /// Attempts that had to wait before they started.
    pub(crate) held: Sums<Held, HELDS>,
    /// How long attempts waited for an open breaker that let them through then.
    pub(crate) breaker_passed: HistogramSums,
    /// How long those waited whose call ended with that.
    pub(crate) breaker_ended: HistogramSums,
    /// Calls that were refused before their first attempt.
    pub(crate) shed: Sums<StopReason, STOPS>,
    /// Calls whose application got something in place of an answer.
    pub(crate) degraded: Sums<DegradedBy, DEGRADES>,
    /// Incidents that began.
    pub(crate) incidents: Sums<BreakKind, KINDS>,
    /// Connections that had switched protocols, by why they ended.
    pub(crate) tunnels: Sums<TunnelEnd, TUNNEL_ENDS>,
    /// Bytes that applications sent over them, until they ended.
    pub(crate) tunnel_sent: u64,
    /// Bytes that upstreams sent over them.
    pub(crate) tunnel_received: u64,
    /// Pings of our own.
    pub(crate) tunnel_pings: u64,
    /// How often a tunnel's upstream connection was opened again.
    pub(crate) tunnels_reopened: u64,
    /// Bodies of requests that couldn't be sent again.
    pub(crate) unrepeatable: u64,
    /// Delivered answers that broke and came whole all the same.
    pub(crate) healed: u64,
    /// Delivered answers that broke and ended as broken.
    pub(crate) cut: Sums<Cut, CUTS>,
    /// Uploads that the server had offered to continue and that weren't.
    pub(crate) uploads_not_resumed: Sums<Cut, CUTS>,
    /// Calls with a record, since something broke.
    pub(crate) broken: u64,
    /// Events for which a trace had no room.
    pub(crate) trace_dropped: u64,
    /// Calls that stand for it.
    pub(crate) examples: ExampleSums,
    /// Its endpoints.
    pub(crate) endpoints: Vec<(Arc<str>, EndpointSums)>,
}

impl UpstreamCounters {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            hot: Sharded::default(),
            as_is: Histogram::default(),
            failed: Histogram::default(),
            saved: Tally::default(),
            failures: std::array::from_fn(|_| Tally::default()),
            stops: Tally::default(),
            delays: Tally::default(),
            hedges_refused: Tally::default(),
            held: Tally::default(),
            breaker_passed: Histogram::default(),
            breaker_ended: Histogram::default(),
            shed: Tally::default(),
            degraded: Tally::default(),
            incidents: Tally::default(),
            cut: Tally::default(),
            uploads_not_resumed: Tally::default(),
            tunnels: Tally::default(),
            rare: Rare::default(),
            amplification: Amplification::default(),
            endpoints: Mutex::default(),
            other: EndpointCounters::new(OTHER),
            past: Mutex::new(None),
            had_past: AtomicBool::new(false),
            examples: Examples::default(),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn other(&self) -> &Arc<EndpointCounters> {
        &self.other
    }

    /// The counters of these endpoints: those that exist by name, and new ones.
    pub(crate) fn endpoints(&self, names: &[&str]) -> Box<[Arc<EndpointCounters>]> {
        let mut known = self.endpoints.lock();
        let found = names
            .iter()
            .map(|name| match known.iter().find(|endpoint| &**endpoint.name() == *name) {
                Some(endpoint) => Arc::clone(endpoint),
                None => {
                    let endpoint = EndpointCounters::new(name);
                    known.push(Arc::clone(&endpoint));
                    endpoint
                }
            })
            .collect();
        self.forget_endpoints(&mut known);
        found
    }

    /// Drops endpoints that nobody counts for any more once there are too many; their counts move to "other".
    fn forget_endpoints(&self, known: &mut Vec<Arc<EndpointCounters>>) {
        let mut surplus = known.len().saturating_sub(ENDPOINTS_KEPT);
        known.retain(|endpoint| {
            let forgotten = surplus > 0 && Arc::strong_count(endpoint) == 1;
            if forgotten {
                surplus -= 1;
                self.other.absorb(&endpoint.sums());
            }
            !forgotten
        });
    }

    pub(crate) fn on_started(&self, at: Timestamp) {
        if self.amplification.is_due(at) {
            self.amplification.take(at, || self.sample());
        }
        self.hot.mine().started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_attempt(&self) {
        self.hot.mine().attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_hedge_refused(&self, reason: HedgeRefusal) {
        self.hedges_refused.count(reason);
    }

    pub(crate) fn on_held(&self, by: Held) {
        self.held.count(by);
    }

    pub(crate) fn on_breaker_awaited(&self, waited: Duration, passed: bool) {
        if passed { &self.breaker_passed } else { &self.breaker_ended }.observe(waited);
    }

    pub(crate) fn on_shed(&self, reason: StopReason) {
        self.shed.count(reason);
    }

    pub(crate) fn on_tunnel_ended(&self, end: TunnelEnd, counts: TunnelCounts) {
        self.tunnels.count(end);
        self.rare.tunnel_sent.fetch_add(counts.sent, Ordering::Relaxed);
        self.rare.tunnel_received.fetch_add(counts.received, Ordering::Relaxed);
        self.rare.tunnel_pings.fetch_add(counts.pings, Ordering::Relaxed);
        self.rare.tunnels_reopened.fetch_add(counts.reopened.into(), Ordering::Relaxed);
    }

    pub(crate) fn on_incident(&self, kind: BreakKind) {
        self.incidents.count(kind);
    }

    pub(crate) fn on_degraded(&self, by: DegradedBy) {
        self.degraded.count(by);
    }

    pub(crate) fn on_delivered(&self, saved: Saved, as_is: bool, took: Duration) {
        if as_is {
            self.as_is.observe(took);
            return;
        }
        self.hot.mine().delivered.observe(took);
        if saved != Saved::NotNeeded {
            self.saved.count(saved);
        }
    }

    pub(crate) fn on_failed(&self, kind: BreakKind, certainty: Certainty, took: Duration) {
        if let Some(failures) = self.failures.get(certainty.place()) {
            failures.count(kind);
        }
        self.failed.observe(took);
    }

    /// Keeps a call as an example of its length.
    pub(crate) fn keep_duration(&self, outcome: Outcome, exemplar: Exemplar) {
        if let Some(durations) = self.examples.durations.get(outcome.place()) {
            durations.keep(exemplar);
        }
    }

    /// Keeps a call as an example of its failure.
    pub(crate) fn keep_failure(&self, kind: BreakKind, certainty: Certainty, exemplar: Exemplar) {
        self.examples.failures.keep((certainty.place(), kind.place()), exemplar);
    }

    pub(crate) fn on_stop(&self, reason: StopReason) {
        self.stops.count(reason);
    }

    pub(crate) fn on_delay(&self, delay: Delay) {
        self.delays.count(delay);
    }

    pub(crate) fn on_unrepeatable(&self) {
        self.rare.unrepeatable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_healed(&self) {
        self.rare.healed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_cut(&self, why: NotHealed) {
        self.cut.count(Cut::new(why));
    }

    pub(crate) fn on_upload_not_resumed(&self, why: NotHealed) {
        self.uploads_not_resumed.count(Cut::new(why));
    }

    pub(crate) fn on_over(&self) {
        self.hot.mine().over.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_broken(&self, trace_dropped: u32) {
        self.rare.broken.fetch_add(1, Ordering::Relaxed);
        if trace_dropped > 0 {
            self.rare.trace_dropped.fetch_add(trace_dropped.into(), Ordering::Relaxed);
        }
    }

    /// What is kept of its last hour; nothing until it is looked at.
    pub(crate) fn past(&self) -> MutexGuard<'_, Option<Box<UpstreamPast>>> {
        self.past.lock()
    }

    /// Those of its endpoints that are remembered.
    pub(crate) fn known(&self) -> Vec<Arc<EndpointCounters>> {
        self.endpoints.lock().clone()
    }

    /// A past that begins now, or with the counters.
    pub(crate) fn new_past(&self) -> Box<UpstreamPast> {
        let begun = self.had_past.swap(true, Ordering::Relaxed).then(|| self.pulse());
        Box::new(UpstreamPast::from(begun.map(|pulse| pulse.part).unwrap_or_default()))
    }

    /// What is read all the time.
    pub(crate) fn pulse(&self) -> CallPulse {
        let saves =
            [Saved::ByRetry, Saved::ByFailover, Saved::ByHedge].map(|saved| self.saved.of(saved));
        let [retry, failover, hedge] = saves;
        let mut part = CallPart {
            as_is: self.as_is.count(),
            failed: self.failed.count(),
            shed: self.shed.total(),
            cut: self.cut.total(),
            degraded: self.degraded.total(),
            saved: [retry, failover, hedge, self.rare.healed.load(Ordering::Relaxed)],
            delivered: self.hot.iter().map(|shard| shard.delivered.count()).sum(),
            ..CallPart::default()
        };
        // Starts are read after ends, so that no more are seen to end than to start.
        let Sample { calls, attempts, .. } = self.sample();
        (part.calls, part.attempts) = (calls, attempts);
        let ended = part.delivered + part.as_is + part.failed;
        CallPulse { part, in_progress: calls.saturating_sub(ended) }
    }

    /// Attempts and calls now.
    pub(crate) fn sample(&self) -> Sample {
        let mut sample = Sample::default();
        for shard in self.hot.iter() {
            sample.calls += shard.started.load(Ordering::Relaxed);
            sample.attempts += shard.attempts.load(Ordering::Relaxed);
        }
        sample
    }

    /// Attempts per call in the last minute before `now`, if there were calls.
    pub(crate) fn recent_amplification(&self, now: Timestamp) -> Option<f64> {
        self.amplification.recent(now, self.sample())
    }

    /// Everything that was counted until now.
    pub(crate) fn sums(&self) -> UpstreamSums {
        let mut sums = UpstreamSums {
            name: Arc::clone(&self.name),
            saved: self.saved.sums(),
            failures: std::array::from_fn(|place| self.failures[place].sums()),
            stops: self.stops.sums(),
            delays: self.delays.sums(),
            hedges_refused: self.hedges_refused.sums(),
            held: self.held.sums(),
            shed: self.shed.sums(),
            degraded: self.degraded.sums(),
            incidents: self.incidents.sums(),
            tunnels: self.tunnels.sums(),
            tunnel_sent: self.rare.tunnel_sent.load(Ordering::Relaxed),
            tunnel_received: self.rare.tunnel_received.load(Ordering::Relaxed),
            tunnel_pings: self.rare.tunnel_pings.load(Ordering::Relaxed),
            tunnels_reopened: self.rare.tunnels_reopened.load(Ordering::Relaxed),
            unrepeatable: self.rare.unrepeatable.load(Ordering::Relaxed),
            healed: self.rare.healed.load(Ordering::Relaxed),
            cut: self.cut.sums(),
            uploads_not_resumed: self.uploads_not_resumed.sums(),
            broken: self.rare.broken.load(Ordering::Relaxed),
            trace_dropped: self.rare.trace_dropped.load(Ordering::Relaxed),
            endpoints: self.endpoint_sums(),
            examples: self.examples.sums(),
            ..UpstreamSums::default()
        };
        self.breaker_passed.add_to(&mut sums.breaker_passed);
        self.breaker_ended.add_to(&mut sums.breaker_ended);
        self.as_is.add_to(&mut sums.as_is);
        self.failed.add_to(&mut sums.failed);
        for shard in self.hot.iter() {
            sums.over += shard.over.load(Ordering::Relaxed);
            shard.delivered.add_to(&mut sums.delivered);
        }
        // Starts are read after ends, so that no more are seen to end than to start.
        let Sample { calls, attempts, .. } = self.sample();
        sums.started = calls;
        sums.attempts = attempts;
        sums
    }

    fn endpoint_sums(&self) -> Vec<(Arc<str>, EndpointSums)> {
        let known = self.endpoints.lock();
        let sums =
            |endpoint: &Arc<EndpointCounters>| (Arc::clone(endpoint.name()), endpoint.sums());
        let other = Some(sums(&self.other)).filter(|(_, sums)| !sums.is_empty());
        known.iter().map(sums).chain(other).collect()
    }
}

impl Examples {
    fn sums(&self) -> ExampleSums {
        ExampleSums {
            durations: std::array::from_fn(|place| self.durations[place].all()),
            failures: self.failures.all(),
        }
    }
}

impl UpstreamSums {
    /// Hedges that were made.
    pub(crate) fn hedges(&self) -> u64 {
        self.endpoints.iter().map(|(_, sums)| sums.started.of(AttemptReason::Hedge)).sum()
    }

    /// Hedges that brought nothing. One that is still out may count as such until its call ends.
    pub(crate) fn hedges_wasted(&self) -> u64 {
        self.hedges().saturating_sub(self.saved.of(Saved::ByHedge))
    }

    /// Calls that began and haven't got their answer yet.
    pub(crate) fn in_progress(&self) -> u64 {
        let ended = self.delivered.count() + self.as_is.count() + self.failed.count();
        self.started.saturating_sub(ended)
    }
}
