//! A second attempt beside the one that is out: a hedge. It owns what it needs, so that the two go on independently.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::{BreakKind, Certainty, EndpointId};
use mainstay_record::Step;
use parking_lot::Mutex;

use crate::body::Outgoing;
use crate::pool::{AnswerBody, AnswerError, Broken, Enough, Exchange, Target};
use crate::underway::{self, timeout_of};

/// An attempt that goes on by itself.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) attempt: AttemptId,
    pub(super) endpoint: EndpointId,
    stage: Stage,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// It has no answer.
    Flying(Flying),
    /// The head of its answer is held back.
    Held(Box<Held>),
}

struct Flying {
    sent: Arc<AtomicBool>,
    steps: Arc<Mutex<Vec<Step>>>,
    flight: Pin<Box<dyn Future<Output = Box<Landed>> + Send>>,
}

#[derive(Debug)]
struct Held {
    response: Response<AnswerBody>,
    enough: Enough,
    exchange: Option<Exchange>,
    /// How often its body was asked for and hadn't come.
    asked: u8,
}

/// What is new of it.
#[derive(Debug)]
pub(super) enum News {
    /// It broke, or has the head of an answer.
    Flown(Box<Landed>),
    /// More of its answer, whose head is held back, has to be waited for. Said once.
    Waits,
    /// Enough of that answer is here, or it broke.
    Landed(Box<Landed>),
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
        Self { attempt, endpoint, stage: Stage::Flying(Flying { sent, steps, flight }) }
    }

    /// The same, with an answer whose head is held back until `enough` of it is here.
    pub(super) fn held(
        self,
        response: Response<AnswerBody>,
        exchange: Option<Exchange>,
        enough: Enough,
    ) -> Self {
        let held = Held { response, enough, exchange, asked: 0 };
        Self { stage: Stage::Held(Box::new(held)), ..self }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        match &mut self.stage {
            Stage::Flying(flying) => flying.flight.as_mut().poll(cx).map(News::Flown),
            Stage::Held(held) => held.poll(cx),
        }
    }

    /// What it is once its time is over. An answer that has begun isn't thrown away: it is what there is of it.
    pub(super) fn end(self) -> Landed {
        match self.stage {
            Stage::Flying(flying) => Landed { outcome: Err(flying.cut()), exchange: None },
            Stage::Held(held) => Landed { outcome: Ok(held.response), exchange: held.exchange },
        }
    }

    /// What it did, as far as that is known, once nobody waits for it any more.
    pub(super) fn into_exchange(self) -> Option<Exchange> {
        match self.stage {
            Stage::Flying(_) => None,
            Stage::Held(held) => held.exchange,
        }
    }
}

impl Held {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let ahead = self.response.body_mut().poll_ahead(cx, &mut self.enough);
        if ahead.is_pending() {
            self.asked = self.asked.saturating_add(1);
        }
        match (ahead, self.asked) {
            (Poll::Ready(done), _) => {
                let response = std::mem::replace(&mut self.response, nothing());
                let outcome = match done {
                    Ok(()) => Ok(response),
                    Err(AnswerError { what }) => Err(Broken::new(what.kind, Certainty::Processed)),
                };
                let exchange = self.exchange.take();
                Poll::Ready(News::Landed(Box::new(Landed { outcome, exchange })))
            }
            // Nearly always it came with the head; over HTTP/1.1 it is given one turn later.
            (Poll::Pending, 1) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (Poll::Pending, 2) => Poll::Ready(News::Waits),
            (Poll::Pending, _) => Poll::Pending,
        }
    }
}

/// Stands where an answer was taken away.
fn nothing() -> Response<AnswerBody> {
    Response::new(AnswerBody::whole(Bytes::new()))
}

impl Flying {
    fn cut(self) -> Broken {
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

impl fmt::Debug for Flying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flying").field("sent", &self.sent).finish_non_exhaustive()
    }
}
