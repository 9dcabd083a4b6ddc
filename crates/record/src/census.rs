//! Which events, breaks and reasons were ever reached: what a test run has to show that it left nothing out.
//!
//! Read off the counters, so it costs a call nothing.

use std::borrow::Cow;

use mainstay_core::breaks::BreakKind;
use mainstay_core::event::{AttemptReason, EjectCause, OpenCause, Saved, StopReason};
use serde::{Deserialize, Serialize};

use crate::counters::{EndpointSums, UpstreamSums};
use crate::label::{Change, Label};

/// What was reached since the process began, and what never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Events of calls and endpoints.
    pub events: CensusPart,
    /// Kinds of breaks: of attempts, of calls that failed, of bodies.
    pub breaks: CensusPart,
    /// Reasons for attempts.
    pub attempts: CensusPart,
    /// What saved calls.
    pub saved: CensusPart,
    /// Reasons to try nothing more.
    pub stops: CensusPart,
    /// Causes for breakers to open.
    pub opens: CensusPart,
    /// Causes for ejections.
    pub ejections: CensusPart,
}

/// The codes of a closed set, divided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CensusPart {
    /// Those that were reached.
    pub seen: Vec<Cow<'static, str>>,
    /// Those that weren't.
    pub never: Vec<Cow<'static, str>>,
}

impl Census {
    pub(crate) fn new(all: &[UpstreamSums]) -> Self {
        let reached = Reached(all);
        Self {
            events: events(reached),
            breaks: part(|kind: BreakKind| {
                reached.endpoint(|sums| sums.breaks.of(kind) + sums.bodies.of(kind) > 0)
                    || reached.upstream(|sums| sums.failures.iter().any(|kinds| kinds.of(kind) > 0))
            }),
            attempts: part(|reason: AttemptReason| {
                reached.endpoint(|sums| sums.started.of(reason) > 0)
            }),
            saved: part(|saved: Saved| {
                reached.upstream(|sums| match saved {
                    Saved::NotNeeded => sums.delivered.count() > sums.saved.total(),
                    Saved::ByRetry | Saved::ByFailover | Saved::ByHedge => sums.saved.of(saved) > 0,
                })
            }),
            stops: part(|reason: StopReason| {
                reached.upstream(|sums| sums.stops.of(reason) + sums.shed.of(reason) > 0)
            }),
            opens: part(|cause: OpenCause| reached.endpoint(|sums| sums.opens.of(cause) > 0)),
            ejections: part(|cause: EjectCause| reached.endpoint(|sums| sums.ejects.of(cause) > 0)),
        }
    }

    /// Each part with its name.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &CensusPart)> {
        [
            ("events", &self.events),
            ("breaks", &self.breaks),
            ("attempts", &self.attempts),
            ("saved", &self.saved),
            ("stops", &self.stops),
            ("opens", &self.opens),
            ("ejections", &self.ejections),
        ]
        .into_iter()
    }
}

/// Asks the counters whether something was reached anywhere.
#[derive(Clone, Copy)]
struct Reached<'a>(&'a [UpstreamSums]);

impl Reached<'_> {
    fn upstream(self, seen: impl Fn(&UpstreamSums) -> bool) -> bool {
        self.0.iter().any(seen)
    }

    fn endpoint(self, seen: impl Fn(&EndpointSums) -> bool) -> bool {
        self.0.iter().flat_map(|sums| &sums.endpoints).any(|(_, sums)| seen(sums))
    }
}

/// Events have no list of their own in the engine: each is known by the counter that it adds to.
fn events(reached: Reached<'_>) -> CensusPart {
    let mut part = CensusPart::default();
    part.add("call-started", reached.upstream(|sums| sums.started > 0));
    part.add("attempt-started", reached.endpoint(|sums| sums.started.total() > 0));
    part.add("attempt-succeeded", reached.endpoint(|sums| sums.answered.count() > 0));
    part.add("attempt-failed", reached.endpoint(|sums| sums.breaks.total() > 0));
    part.add("attempt-outrun", reached.endpoint(|sums| sums.outrun > 0));
    part.add("hedge-refused", reached.upstream(|sums| sums.hedges_refused.total() > 0));
    part.add("attempt-held", reached.upstream(|sums| sums.held.total() > 0));
    let awaited = |sums: &UpstreamSums| sums.breaker_passed.count() + sums.breaker_ended.count();
    part.add("breaker-awaited", reached.upstream(|sums| awaited(sums) > 0));
    part.add("call-shed", reached.upstream(|sums| sums.shed.total() > 0));
    part.add("retry-scheduled", reached.upstream(|sums| sums.delays.total() > 0));
    part.add("retry-refused", reached.upstream(|sums| sums.stops.total() > 0));
    part.add("body-unrepeatable", reached.upstream(|sums| sums.unrepeatable > 0));
    part.add(
        "call-delivered",
        reached.upstream(|sums| sums.delivered.count() + sums.as_is.count() > 0),
    );
    part.add("call-failed", reached.upstream(|sums| sums.failed.count() > 0));
    part.add("call-degraded", reached.upstream(|sums| sums.degraded.total() > 0));
    part.add("body-failed", reached.endpoint(|sums| sums.bodies.total() > 0));
    part.add("body-resumed", reached.endpoint(|sums| sums.resumed > 0));
    part.add("answer-healed", reached.upstream(|sums| sums.healed > 0));
    part.add("answer-cut", reached.upstream(|sums| sums.cut.total() > 0));
    part.add("upload-resumed", reached.endpoint(|sums| sums.uploads_resumed > 0));
    part.add("upload-not-resumed", reached.upstream(|sums| sums.uploads_not_resumed.total() > 0));
    part.add("tunnel-ended", reached.upstream(|sums| sums.tunnels.total() > 0));
    part.add("breaker-opened", reached.endpoint(|sums| sums.opens.total() > 0));
    part.add("endpoint-ejected", reached.endpoint(|sums| sums.ejects.total() > 0));
    for change in Change::ALL {
        part.add(change.code(), reached.endpoint(|sums| sums.changes.of(*change) > 0));
    }
    part
}

impl CensusPart {
    fn add(&mut self, code: &'static str, seen: bool) {
        let codes = if seen { &mut self.seen } else { &mut self.never };
        codes.push(code.into());
    }
}

fn part<L: Label>(seen: impl Fn(L) -> bool) -> CensusPart {
    let mut part = CensusPart::default();
    L::ALL.iter().for_each(|label| part.add(label.code(), seen(*label)));
    part
}
