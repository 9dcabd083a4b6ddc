//! Where a call brought nothing good: something else may be given to the application. And where it did: a copy may be kept.

use http::{Response, header};
use mainstay_core::Certainty;
use mainstay_core::call::GaveUp;
use mainstay_core::degrade::{Asked, End, invalidates};

use super::running::Running;
use super::{Answer, DeliveredBody, Held, Unanswered};
use crate::Clock;
use crate::degrade::{Degrade, Degraded, Fill, StandIn, Target, asked};
use crate::service::Plan;

impl Running {
    /// Hands over an answer, or what is better than a broken attempt's own one.
    pub(super) fn deliver_or_degrade(self: Box<Self>, plan: &Plan, held: Held) -> Answer {
        if !self.as_is {
            return self.deliver(plan, held);
        }
        let status = held.response.status();
        match self.stand_in(&plan.degrade, End::AsIs(status.as_u16())) {
            Some(stand_in) => {
                let degraded = Degraded {
                    by: stand_in.by,
                    age: stand_in.age,
                    instead_of: Some(status),
                    certainty: Certainty::Processed,
                };
                // Its body isn't read: it may be long, and nobody waits for it.
                drop(held);
                self.degrade(stand_in, degraded)
            }
            None => self.deliver(plan, held),
        }
    }

    /// Gives up, or gives something else.
    pub(super) fn fail_or_degrade(
        mut self: Box<Self>,
        plan: &Plan,
        gave_up: GaveUp,
    ) -> Result<Answer, Unanswered> {
        let unanswered = self.unanswered(gave_up);
        // What is wrong with the request itself is for the application to know.
        if unanswered.request_error.is_some() {
            return Err(unanswered);
        }
        let (kind, certainty) = (unanswered.gave_up.kind, unanswered.gave_up.certainty);
        let Some(stand_in) = self.stand_in(&plan.degrade, End::Failed(kind)) else {
            return Err(unanswered);
        };
        self.last_break = Some(kind);
        let (by, age) = (stand_in.by, stand_in.age);
        Ok(self.degrade(stand_in, Degraded { by, age, instead_of: None, certainty }))
    }

    /// What may be given in place of an answer; what was one before goes before what never was.
    fn stand_in(&self, degrade: &Degrade, end: End) -> Option<StandIn> {
        // A call of gRPC and a switch of protocols have answers of another form.
        if degrade.is_idle() || self.is_grpc || self.head.headers.contains_key(header::UPGRADE) {
            return None;
        }
        let asked = asked(&self.head);
        let stale = || {
            let kept = degrade.kept.as_ref().filter(|kept| kept.entries() > 0)?;
            if !degrade.stale.as_ref()?.policy.stands_in(&asked, end) {
                return None;
            }
            kept.find(&self.target(), &self.route, &self.head, &asked, Clock::now())
        };
        let fixed = || {
            let fallback = degrade.fallback.as_ref()?;
            fallback.policy.stands_in(&asked, end).then(|| fallback.stand_in(&self.head))
        };
        stale().or_else(fixed)
    }

    /// The call is over, and this is what the application gets.
    fn degrade(mut self: Box<Self>, stand_in: StandIn, degraded: Degraded) -> Answer {
        let StandIn { by, status, headers, body, .. } = stand_in;
        self.tell(|call, _| call.on_degraded(by, status.as_u16()));
        let mut response = Response::new(DeliveredBody::standing_in(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Answer {
            response,
            id: self.id,
            attempts: self.call.attempts(),
            endpoint: None,
            as_is: false,
            last_break: self.last_break,
            worst: self.call.worst(),
            degraded: Some(degraded),
        }
    }

    /// Begins a copy of a good answer, if it may stand in for later ones. What the call has changed is forgotten.
    pub(super) fn keep_copy(&self, degrade: &Degrade, held: &Held) -> Option<Box<Fill>> {
        let kept = degrade.kept.as_ref()?;
        if self.as_is {
            return None;
        }
        let asked: Asked = asked(&self.head);
        if kept.entries() > 0 && invalidates(&asked, held.response.status().as_u16()) {
            kept.forget_all(&self.target());
        }
        let took = Clock::now().since(self.call.started_at());
        let names = (&**self.service().name(), &self.route);
        Fill::begin(
            (kept, degrade.stale.as_ref()?),
            names,
            &self.head,
            &asked,
            &held.response,
            took,
        )
    }

    fn target(&self) -> Target {
        Target::of(self.service().name(), &self.head)
    }
}
