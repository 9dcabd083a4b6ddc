//! An attempt that is out: the lease of a connection, and the exchange over it.

use std::sync::Arc;

use http::Response;
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::{BreakKind, Certainty};
use mainstay_record::Step;

use super::running::Running;
use crate::pool::{AnswerBody, Broken, Exchange, Lease, Target};
use crate::service::{Place, Plan};

/// An attempt under way. However it ends, its call's leaving among that, what it did is remembered for the record.
#[derive(Debug)]
pub(super) struct Out<'a> {
    running: &'a mut Running,
    attempt: AttemptId,
    lease: Option<Lease>,
    /// What was done for a connection, until there is one.
    steps: Vec<Step>,
}

impl<'a> Out<'a> {
    pub(super) const fn new(running: &'a mut Running, attempt: AttemptId) -> Self {
        Self { running, attempt, lease: None, steps: Vec::new() }
    }

    /// Asks the endpoint at `place`, and gives the head of its answer.
    pub(super) async fn ask(
        mut self,
        plan: &Plan,
        place: &Place,
        connection: Connection,
    ) -> Result<Response<AnswerBody>, Broken> {
        let lease = self.lease(&place.target, connection).await?;
        let lease = self.lease.insert(lease);
        let request = self.running.request(plan, place);
        let sending = lease.send(request);
        match self.running.until_cancelled(sending).await {
            Some(sent) => sent,
            None if lease.was_sent() => {
                Err(Broken::new(BreakKind::ResponseTimeout, Certainty::MaybeProcessed))
            }
            None => Err(Broken::new(BreakKind::ResponseTimeout, Certainty::NotSent)),
        }
    }

    async fn lease(
        &mut self,
        target: &Arc<Target>,
        connection: Connection,
    ) -> Result<Lease, Broken> {
        if connection == Connection::Any
            && let Some(lease) = target.lease_ready()
        {
            return Ok(lease);
        }
        // In a box: connecting is rare, and its state would make that of each call large.
        let fresh = connection == Connection::Fresh;
        let leasing = Box::pin(target.lease_telling(fresh, &mut self.steps));
        match self.running.until_cancelled(leasing).await {
            Some(leased) => {
                leased.map(|lease| lease.established_by(std::mem::take(&mut self.steps)))
            }
            // The connector's own clock is shorter than an attempt's, as a rule; where it isn't, this is one.
            None => Err(Broken::new(BreakKind::ConnectTimeout, Certainty::NotSent)),
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
