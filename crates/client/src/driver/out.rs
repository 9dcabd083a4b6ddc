//! An attempt that is out: the lease of a connection, and the exchange over it.

use std::sync::Arc;

use http::Response;
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::{BreakKind, Certainty, EndpointId};
use mainstay_record::{Step, StepName, StepOutcome};

use super::running::{Ended, Running};
use crate::pool::{AnswerBody, Broken, Exchange, Lease, Target};
use crate::service::{Place, Plan};
use crate::underway::timeout_of;

/// An attempt under way. However it ends, its call's leaving among that, what it did is remembered for the record.
#[derive(Debug)]
pub(super) struct Out<'a> {
    running: &'a mut Running,
    attempt: AttemptId,
    endpoint: EndpointId,
    lease: Option<Lease>,
    /// What was done for a connection, until there is one.
    steps: Vec<Step>,
}

impl<'a> Out<'a> {
    pub(super) const fn new(
        running: &'a mut Running,
        attempt: AttemptId,
        endpoint: EndpointId,
    ) -> Self {
        Self { running, attempt, endpoint, lease: None, steps: Vec::new() }
    }

    /// Asks the endpoint at `place`, and gives the head of its answer; `None` when another attempt was faster.
    pub(super) async fn ask(
        mut self,
        plan: &Plan,
        place: &Place,
        connection: Connection,
    ) -> Option<Result<Response<AnswerBody>, Broken>> {
        let lease = match self.lease(plan, &place.target, connection).await? {
            Ok(lease) => self.lease.insert(lease),
            Err(broken) => return Some(Err(broken)),
        };
        self.running.prepare_upload(plan, place, self.attempt, self.endpoint);
        let request = self.running.request(plan, place, (self.attempt, self.endpoint));
        let sending = lease.send(request);
        match self.running.until_ended(plan, self.attempt, sending).await {
            Ended::Done(Ok(response)) => self.hold(plan, response).await,
            Ended::Done(Err(broken)) => Some(Err(broken)),
            Ended::Outrun => None,
            Ended::Cut | Ended::Commit => {
                let certainty =
                    if lease.was_sent() { Certainty::MaybeProcessed } else { Certainty::NotSent };
                Some(Err(Broken::new(BreakKind::ResponseTimeout, certainty)))
            }
        }
    }

    pub(super) const fn parts(&mut self) -> (&mut Running, AttemptId) {
        (self.running, self.attempt)
    }

    async fn lease(
        &mut self,
        plan: &Plan,
        target: &Arc<Target>,
        connection: Connection,
    ) -> Option<Result<Lease, Broken>> {
        if connection == Connection::Any
            && let Some(lease) = target.lease_ready()
        {
            return Some(Ok(lease));
        }
        // In a box: connecting is rare, and its state would make that of each call large.
        let fresh = connection == Connection::Fresh;
        let leasing = Box::pin(target.lease_telling(fresh, &mut self.steps));
        Some(match self.running.until_ended(plan, self.attempt, leasing).await {
            Ended::Done(Ok(lease)) => {
                self.note_round_trip();
                Ok(lease.established_by(std::mem::take(&mut self.steps)))
            }
            Ended::Done(Err(broken)) => Err(broken),
            Ended::Outrun => return None,
            // The steps' own clocks are shorter than an attempt's, as a rule; where they aren't, this is one.
            Ended::Cut | Ended::Commit => {
                Err(Broken::new(timeout_of(&self.steps), Certainty::NotSent))
            }
        })
    }

    /// A TCP handshake takes one round trip, and tells how long that is.
    fn note_round_trip(&self) {
        let connected = self.steps.iter().find(|step| {
            matches!((&step.name, &step.outcome), (StepName::Connect(_), StepOutcome::Done(_)))
        });
        if let Some(step) = connected {
            self.running.service().upstream().note_round_trip(self.endpoint, step.took);
        }
    }
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        let exchange = match &mut self.lease {
            Some(lease) => lease.take_exchange(),
            None => Some(Exchange::unconnected(std::mem::take(&mut self.steps))),
        };
        self.running.seen(self.attempt, exchange);
    }
}
