//! A second attempt beside the one that is out: a hedge. It owns what it needs, so that the two go on independently.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::{BreakKind, Certainty, EndpointId};
use mainstay_record::Step;
use parking_lot::Mutex;

use crate::body::Outgoing;
use crate::pool::{AnswerBody, Broken, Exchange, Target};
use crate::underway::{self, timeout_of};

/// An attempt that goes on by itself.
pub(super) struct Beside {
    pub(super) attempt: AttemptId,
    pub(super) endpoint: EndpointId,
    sent: Arc<AtomicBool>,
    steps: Arc<Mutex<Vec<Step>>>,
    flight: Pin<Box<dyn Future<Output = Box<Landed>> + Send>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) outcome: Result<Response<AnswerBody>, Broken>,
    pub(super) exchange: Option<Exchange>,
}

impl Beside {
    pub(super) fn new(
        (attempt, endpoint): (AttemptId, EndpointId),
        target: Arc<Target>,
        connection: Connection,
        request: Request<Outgoing>,
    ) -> Self {
        let (sent, steps) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let told = Told { steps: Vec::new(), to: Arc::clone(&steps) };
        let flight = Box::pin(fly(target, connection, request, Arc::clone(&sent), told));
        Self { attempt, endpoint, sent, steps, flight }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Box<Landed>> {
        self.flight.as_mut().poll(cx)
    }

    /// What it is once its time is over.
    pub(super) fn cut(self) -> Broken {
        if self.sent.load(Ordering::Relaxed) {
            return Broken::new(BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
        }
        // It tells its steps as it is dropped.
        drop(self.flight);
        let mut steps = std::mem::take(&mut *self.steps.lock());
        let kind = timeout_of(&steps);
        underway::cut(&mut steps, kind);
        Broken { steps, ..Broken::new(kind, Certainty::NotSent) }
    }
}

/// What an attempt did for a connection, told to whoever cuts it off.
struct Told {
    steps: Vec<Step>,
    to: Arc<Mutex<Vec<Step>>>,
}

impl Drop for Told {
    fn drop(&mut self) {
        *self.to.lock() = std::mem::take(&mut self.steps);
    }
}

async fn fly(
    target: Arc<Target>,
    connection: Connection,
    request: Request<Outgoing>,
    sent: Arc<AtomicBool>,
    mut told: Told,
) -> Box<Landed> {
    let ready = if connection == Connection::Any { target.lease_ready() } else { None };
    let leased = match ready {
        Some(lease) => Ok(lease),
        None => {
            let fresh = connection == Connection::Fresh;
            let leased = target.lease_telling(fresh, &mut told.steps).await;
            let steps = std::mem::take(&mut told.steps);
            match leased {
                Ok(lease) => Ok(lease.established_by(steps)),
                Err(broken) => Err(Broken { steps, ..broken }),
            }
        }
    };
    match leased {
        Ok(mut lease) => {
            sent.store(true, Ordering::Relaxed);
            let outcome = lease.send(request).await;
            Box::new(Landed { outcome, exchange: lease.take_exchange() })
        }
        Err(broken) => Box::new(Landed { outcome: Err(broken), exchange: None }),
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside")
            .field("attempt", &self.attempt)
            .field("endpoint", &self.endpoint)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
