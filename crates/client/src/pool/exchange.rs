//! What one exchange did and when, for records. Kept without an allocation, since a healthy call's is thrown away.

use mainstay_core::{BreakKind, Timestamp};
use mainstay_record::{ConnectionFacts, Step, StepName};

use super::Connection;
use crate::connect::Meter;

/// One exchange, and the connection that it went over.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The connection.
    pub(crate) connection: ConnectionFacts,
    /// How it was established, if it was for this exchange.
    established: Vec<Step>,
    /// When the connection was taken.
    leased_at: Timestamp,
    /// The times of its first two steps, where the connection tells exchanges apart.
    times: Option<Times>,
}

/// When an exchange's bytes went and came.
#[derive(Clone, Copy, Debug)]
struct Times {
    written_at: Option<Timestamp>,
    answered_at: Option<Timestamp>,
}

impl Exchange {
    pub(super) fn new(connection: &Connection, leased_at: Timestamp) -> Self {
        let facts = match connection {
            Connection::Single(single) => single.facts(leased_at),
            Connection::Stream(stream) => stream.facts(leased_at),
        };
        Self { connection: facts, established: Vec::new(), leased_at, times: None }
    }

    pub(super) fn established_by(&mut self, steps: Vec<Step>) {
        self.established = steps;
    }

    /// Reads the meter, while the connection is still this exchange's.
    pub(super) fn note(&mut self, connection: Option<&Connection>) {
        if let Some(Connection::Single(single)) = connection {
            self.times = Some(Times::of(single.meter(), self.leased_at));
        }
    }

    /// The steps that established its connection, if any did, and its own until `now`, the last of which broke by
    /// `broke`.
    pub(crate) fn steps(&self, now: Timestamp, broke: Option<BreakKind>) -> Vec<Step> {
        let mut steps = self.established.clone();
        let Some(Times { written_at, answered_at }) = self.times else { return steps };
        let last = |name, from: Timestamp| match broke {
            Some(kind) => Step::broke(name, from, now, kind, None),
            None => Step::done(name, from, now),
        };
        let Some(written_at) = written_at else {
            steps.push(last(StepName::Send, self.leased_at));
            return steps;
        };
        steps.push(Step::done(StepName::Send, self.leased_at, written_at));
        steps.push(match answered_at {
            None => last(StepName::FirstByte, written_at),
            Some(answered_at) => Step::done(StepName::FirstByte, written_at, answered_at),
        });
        steps
    }

    /// The same for an exchange that was answered, with its body until `now`.
    pub(crate) fn steps_with_body(&self, now: Timestamp, broke: Option<BreakKind>) -> Vec<Step> {
        let answered_at = self.times.and_then(|times| times.answered_at);
        let mut steps = self.steps(answered_at.unwrap_or(now), None);
        if let Some(from) = answered_at {
            steps.push(match broke {
                Some(kind) => Step::broke(StepName::Body, from, now, kind, None),
                None => Step::done(StepName::Body, from, now),
            });
        }
        steps
    }
}

impl Times {
    fn of(meter: &Meter, leased_at: Timestamp) -> Self {
        let written_at = meter.written_at().filter(|at| *at >= leased_at);
        let answered_at = meter.answered_at().filter(|at| Some(*at) >= written_at);
        Self { written_at, answered_at }
    }
}
