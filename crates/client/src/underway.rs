//! A step under way, for the record.

use mainstay_core::{BreakKind, Timestamp};
use mainstay_record::{Step, StepName, StepOutcome};

use crate::Clock;

/// A step that has begun. It is told when it ends; dropped before, as given up.
#[derive(Debug)]
pub(crate) struct Underway<'a> {
    steps: &'a mut Vec<Step>,
    name: StepName,
    began_at: Timestamp,
    ended: Option<StepOutcome>,
}

impl<'a> Underway<'a> {
    /// A step that begins now, and is told in `steps`.
    pub(crate) fn begin(steps: &'a mut Vec<Step>, name: StepName) -> Self {
        Self { steps, name, began_at: Clock::now(), ended: None }
    }

    /// It ends now.
    pub(crate) fn end(mut self, outcome: StepOutcome) {
        self.ended = Some(outcome);
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.steps.push(Step {
            name: self.name,
            started_at: self.began_at,
            took: Clock::now().since(self.began_at),
            outcome: self.ended.take().unwrap_or(StepOutcome::GivenUp),
        });
    }
}

/// Steps that were cut off from outside, by a clock or an application that left: those that were under way when they ended
/// broke by `kind`.
pub(crate) fn cut(steps: &mut [Step], kind: BreakKind) {
    let given_up = |step: &&mut Step| step.outcome == StepOutcome::GivenUp;
    let end = |step: &Step| step.started_at + step.took;
    // What lost a race ended earlier, with the race.
    let Some(last) = steps.iter().map(end).max() else { return };
    for step in steps.iter_mut().filter(given_up).filter(|step| end(step) == last) {
        step.outcome = StepOutcome::Broke(kind, None);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;

    fn step(name: StepName, from: u64, to: u64, outcome: StepOutcome) -> Step {
        let took = Duration::from_millis(to - from);
        Step { name, started_at: Timestamp::from_millis(from), took, outcome }
    }

    #[test]
    fn a_step_is_told_at_its_end_or_as_given_up() {
        let mut steps = Vec::new();
        Underway::begin(&mut steps, StepName::Resolve).end(StepOutcome::Done(None));
        drop(Underway::begin(&mut steps, StepName::Tls));
        let told: Vec<_> = steps.into_iter().map(|step| (step.name, step.outcome)).collect();
        assert_eq!(
            told,
            [(StepName::Resolve, StepOutcome::Done(None)), (StepName::Tls, StepOutcome::GivenUp)]
        );
    }

    #[test]
    fn a_clock_breaks_what_was_under_way_and_not_what_had_lost_before() {
        let connect = |last| StepName::Connect(SocketAddr::from(([10, 0, 0, last], 80)));
        let (done, given_up) = (StepOutcome::Done(None), StepOutcome::GivenUp);
        let mut steps = [
            step(connect(1), 0, 300, done.clone()),
            step(connect(2), 250, 300, given_up.clone()),
            step(StepName::Tls, 300, 900, given_up.clone()),
        ];
        cut(&mut steps, BreakKind::ConnectTimeout);
        let broke = StepOutcome::Broke(BreakKind::ConnectTimeout, None);
        let outcomes = steps.map(|step| step.outcome);
        assert_eq!(outcomes, [done, given_up.clone(), broke.clone()]);
        let mut racing =
            [step(connect(1), 0, 300, given_up.clone()), step(connect(2), 250, 300, given_up)];
        cut(&mut racing, BreakKind::ConnectTimeout);
        assert_eq!(racing.map(|step| step.outcome), [broke.clone(), broke]);
        cut(&mut [], BreakKind::ConnectTimeout);
    }
}
