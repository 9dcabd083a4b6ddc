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

/// What an attempt broke by whose own clock cut it off while it had no connection yet: the timeout of the step that was
/// under way, as that step's own clock would have called it.
pub(crate) fn timeout_of(steps: &[Step]) -> BreakKind {
    match cut_off(steps).map(|step| step.name).next() {
        Some(StepName::Resolve) => BreakKind::ResolverTimeout,
        Some(StepName::Tls) => BreakKind::TlsTimeout,
        // Between two steps it is the connect as a whole that took too long, and so it is in a queue for a connection.
        None
        | Some(
            StepName::Queue
            | StepName::Connect(_)
            | StepName::Ping
            | StepName::Send
            | StepName::FirstByte
            | StepName::Body,
        ) => BreakKind::ConnectTimeout,
    }
}

/// Steps that were cut off from outside, by a clock or an application that left: those that were under way when they ended
/// broke by `kind`.
pub(crate) fn cut(steps: &mut [Step], kind: BreakKind) {
    let last = last_end(steps);
    for step in steps.iter_mut().filter(|step| is_cut_off(step, last)) {
        step.outcome = StepOutcome::Broke(kind, None);
    }
}

fn cut_off(steps: &[Step]) -> impl Iterator<Item = &Step> {
    let last = last_end(steps);
    steps.iter().filter(move |step| is_cut_off(step, last))
}

/// What lost a race ended earlier, with the race.
fn is_cut_off(step: &Step, last: Option<Timestamp>) -> bool {
    step.outcome == StepOutcome::GivenUp && Some(step.started_at + step.took) == last
}

fn last_end(steps: &[Step]) -> Option<Timestamp> {
    steps.iter().map(|step| step.started_at + step.took).max()
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

    #[test]
    fn an_attempt_that_is_cut_off_breaks_by_the_timeout_of_the_step_under_way() {
        let connect = StepName::Connect(SocketAddr::from(([10, 0, 0, 1], 80)));
        let (done, given_up) = (StepOutcome::Done(None), StepOutcome::GivenUp);
        let under_way = |name| vec![step(name, 100, 300, given_up.clone())];
        let check = |steps: Vec<Step>, kind| assert_eq!(timeout_of(&steps), kind, "{steps:?}");
        check(under_way(StepName::Resolve), BreakKind::ResolverTimeout);
        check(under_way(connect), BreakKind::ConnectTimeout);
        check(under_way(StepName::Tls), BreakKind::TlsTimeout);
        check(under_way(StepName::Queue), BreakKind::ConnectTimeout);
        // An address that lost the race isn't what the attempt was at.
        let loser = step(connect, 0, 100, given_up.clone());
        check([vec![loser], under_way(StepName::Tls)].concat(), BreakKind::TlsTimeout);
        check(vec![step(StepName::Tls, 0, 300, done)], BreakKind::ConnectTimeout);
        check(Vec::new(), BreakKind::ConnectTimeout);
    }
}
