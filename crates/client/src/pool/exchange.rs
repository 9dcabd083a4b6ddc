//! What one exchange did and when, for records. Kept without an allocation, since a healthy call's is thrown away.

use mainstay_core::{BreakKind, Timestamp};
use mainstay_record::{ConnectionFacts, Step, StepName};

use super::Connection;
use super::multi::StreamTimes;
use crate::connect::Meter;
use crate::underway;

/// One exchange, and the connection that it went over.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The connection; nothing where there was none yet.
    pub(crate) connection: Option<ConnectionFacts>,
    /// How it was established, if it was for this exchange.
    established: Vec<Step>,
    /// When the connection was taken.
    leased_at: Timestamp,
    /// The times of its own steps, once there are any.
    times: Option<Times>,
}

/// When an exchange's bytes went and came.
#[derive(Clone, Copy, Debug)]
enum Times {
    /// It was alone on its connection.
    Single { written_at: Option<Timestamp>, answered_at: Option<Timestamp> },
    /// It was one of several streams.
    Stream(StreamTimes),
}

impl Exchange {
    pub(super) fn new(connection: &Connection, leased_at: Timestamp) -> Self {
        let facts = match connection {
            Connection::Single(single) => single.facts(leased_at),
            Connection::Stream(stream) => stream.facts(leased_at),
        };
        Self { connection: Some(facts), established: Vec::new(), leased_at, times: None }
    }

    /// One that never got a connection: what was done for it so far.
    pub(crate) const fn unconnected(steps: Vec<Step>) -> Self {
        let leased_at = Timestamp::ZERO;
        Self { connection: None, established: steps, leased_at, times: None }
    }

    pub(super) fn established_by(&mut self, steps: Vec<Step>) {
        self.established = steps;
    }

    /// Reads the meter, while the connection is still this exchange's.
    pub(super) fn note(&mut self, connection: Option<&Connection>) {
        match connection {
            None => {}
            Some(Connection::Single(single)) => {
                self.times = Some(Times::of(single.meter(), self.leased_at));
            }
            Some(Connection::Stream(stream)) => {
                self.times = stream.times().map(Times::Stream);
            }
        }
    }

    /// The steps that established its connection, if any did, and its own until `now`, the last of which broke by
    /// `broke`.
    pub(crate) fn steps(&self, now: Timestamp, broke: Option<BreakKind>) -> Vec<Step> {
        let mut steps = self.established.clone();
        match (&self.times, broke) {
            (Some(times), _) => times.tell(&mut steps, self.leased_at, now, broke),
            (None, Some(kind)) => underway::cut(&mut steps, kind),
            (None, None) => {}
        }
        steps
    }

    /// The same for an exchange that was answered, with its body until `now`.
    pub(crate) fn steps_with_body(&self, now: Timestamp, broke: Option<BreakKind>) -> Vec<Step> {
        let Some(answered_at) = self.times.and_then(|times| times.answered_at()) else {
            return self.steps(now, broke);
        };
        let mut steps = self.steps(answered_at, None);
        steps.push(ended(StepName::Body, answered_at, now, broke));
        steps
    }
}

impl Times {
    fn of(meter: &Meter, leased_at: Timestamp) -> Self {
        let written_at = meter.written_at().filter(|at| *at >= leased_at);
        let answered_at = meter.answered_at().filter(|at| Some(*at) >= written_at);
        Self::Single { written_at, answered_at }
    }

    const fn answered_at(&self) -> Option<Timestamp> {
        match self {
            Self::Single { answered_at, .. } => *answered_at,
            Self::Stream(times) => times.answered_at,
        }
    }

    fn written_at(&self) -> Option<Timestamp> {
        match self {
            Self::Single { written_at, .. } => *written_at,
            Self::Stream(times) => times.written_at(),
        }
    }

    /// Adds the steps of an exchange that began at `leased_at`.
    fn tell(
        &self,
        steps: &mut Vec<Step>,
        leased_at: Timestamp,
        now: Timestamp,
        broke: Option<BreakKind>,
    ) {
        let mut from = leased_at;
        let waits = match self {
            Self::Single { .. } => [None, None],
            Self::Stream(times) => times.waits(),
        };
        for (name, wait) in [StepName::Ping, StepName::Queue].into_iter().zip(waits) {
            match wait {
                None => {}
                Some(None) => return steps.push(ended(name, from, now, broke)),
                Some(Some(until)) => {
                    steps.push(Step::done(name, from, until));
                    from = until;
                }
            }
        }
        let (written_at, answered_at) = (self.written_at(), self.answered_at());
        // An answer may come before the request is whole.
        let Some(written_at) = written_at else {
            steps.push(ended(StepName::Send, from, answered_at.unwrap_or(now), broke));
            return;
        };
        steps.push(Step::done(StepName::Send, from, written_at));
        steps.push(match answered_at {
            None => ended(StepName::FirstByte, written_at, now, broke),
            Some(answered_at) => Step::done(StepName::FirstByte, written_at, answered_at),
        });
    }
}

/// A step that ended at `now`, well unless something broke it.
fn ended(name: StepName, from: Timestamp, now: Timestamp, broke: Option<BreakKind>) -> Step {
    match broke {
        Some(kind) => Step::broke(name, from, now, kind, None),
        None => Step::done(name, from, now),
    }
}
